"""What the exporter reads of the queues: once for all workers, and only when somebody asks."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from runtime.cli.queue_views import LIVES, QueueView, look_at
from runtime.heartbeats import Asks, queue_names
from runtime.metrics import catalogue
from runtime.metrics.catalogue import Family, Metric
from runtime.redis import keys

_DISCOVERY: Final = 60.0
"""Seconds between looks for more queues: to find the heartbeats costs a walk through all keys."""


@frozen
class FleetView:
    """A queue, and who serves it.

    Attributes:
        queue: its figures.
        workers: those with a living lease on it.
        slots: theirs.
        dead_added: dead letters that there have ever been.
    """

    queue: QueueView
    workers: int
    slots: int
    dead_added: int


class Fleet:
    """Looks at the queues.

    Args:
        named: queues to look at, beside the contract's and those that workers serve.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self._named = named
        self._names: tuple[str, ...] = ()
        self._due = float("-inf")

    def __repr__(self) -> str:
        return f"Fleet({', '.join(self._names)})"

    async def look(self, session: Asks) -> list[FleetView]:
        """Look at each queue.

        A queue that some worker has served is looked at until the exporter ends, so that what
        waits on it isn't forgotten with its last worker.

        Raises:
            PoolError: the server is out of reach or refuses.
        """
        now = time.monotonic()
        if now >= self._due:
            found = await queue_names(session, self._named)
            self._names = tuple(dict.fromkeys((*self._names, *found)))
            self._due = now + _DISCOVERY
        return [await _view(session, name) for name in self._names]


async def _view(session: Asks, name: str) -> FleetView:
    request = f"tell of {name}"
    (view, renewed), leases, clock, dead = await asyncio.gather(
        look_at(session, name, datetime.now(UTC)),
        session.ask(request, "HGETALL", keys.leases(name)),
        session.ask(request, "TIME"),
        _dead_added(session, name),
    )
    now = int(clock[0]) + int(clock[1]) / 1e6
    slots = [
        _slots(pulse)
        for holder, pulse in zip(leases[::2], leases[1::2], strict=True)
        if now - renewed.get(holder.decode(errors="replace"), 0.0) < LIVES
    ]
    return FleetView(view, len(slots), sum(slots), dead)


async def _dead_added(session: Asks, name: str) -> int:
    """Read how many entries a queue's stream of dead letters has ever had."""
    key = keys.dead(name)
    if not await session.ask(f"tell of {name}", "EXISTS", key):
        return 0
    told = await session.ask(f"tell of {name}", "XINFO", "STREAM", key)
    fields = dict(zip(told[::2], told[1::2], strict=True))
    return int(fields.get(b"entries-added", 0))


def _slots(lease: bytes) -> int:
    """Read the slots of a lease, `<pulse> <slots>`."""
    word = lease.rpartition(b" ")[2]
    return int(word) if word.isdigit() else 0


def families(views: Sequence[FleetView]) -> Iterable[Family]:
    """Return the figures of queues as metrics."""
    rows: tuple[tuple[Metric, list[float]], ...] = (
        (catalogue.WAITING, [view.queue.waiting for view in views]),
        (catalogue.IN_FLIGHT, [view.queue.in_flight for view in views]),
        (catalogue.DELAYED, [view.queue.delayed for view in views]),
        (catalogue.AGE, [view.queue.oldest_s or 0.0 for view in views]),
        (catalogue.DEAD_KEPT, [view.queue.dead for view in views]),
        (catalogue.DEAD_ADDED, [view.dead_added for view in views]),
        (catalogue.DEAD_TRIMMED, [view.queue.trimmed for view in views]),
        (catalogue.PAUSED, [view.queue.paused_s is not None for view in views]),
        (catalogue.WORKERS, [view.workers for view in views]),
        (catalogue.QUEUE_SLOTS, [view.slots for view in views]),
    )
    for metric, values in rows:
        family = metric.counter() if metric.kind == "counter" else metric.gauge()
        for view, value in zip(views, values, strict=True):
            family.add_metric((view.queue.name,), float(value))
        yield family
