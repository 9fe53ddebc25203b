"""One look at queues on the server: what waits, what is held, who serves them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from messages import MessageError, decode_task
from runtime.brain.pool_figures import waits_since
from runtime.heartbeats import Asks
from runtime.pool.window import QueueLook
from runtime.redis import keys


@frozen
class Look:
    """What was found.

    Attributes:
        queues: by name.
        slots: those of each living holder, by its name: `<worker_id>#<random per start>`.
    """

    queues: dict[str, QueueLook]
    slots: dict[str, int]

    def share(self, workers: Sequence[str]) -> float:
        """Return which share of all slots these workers have: 1 if nobody else serves the queues.

        Two pools on the same queues so each take their part of the load.
        """
        ours = sum(
            slots for name, slots in self.slots.items() if name.rpartition("#")[0] in workers
        )
        every = sum(self.slots.values())
        return ours / every if ours else 1.0


async def look_at(session: Asks, names: Sequence[str], now: datetime) -> Look:
    """Look at queues; cancelled, it leaves nothing behind.

    Args:
        session: the way to the server.
        names: the queues.
        now: this machine's time, aware.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    found = await asyncio.gather(*(_queue(session, name, now) for name in names))
    slots: dict[str, int] = {}
    for _, leases in found:
        slots.update(leases)
    return Look({name: look for name, (look, _) in zip(names, found, strict=True)}, slots)


async def _queue(session: Asks, name: str, now: datetime) -> tuple[QueueLook, dict[str, int]]:
    request = f"tell of {name}"
    waiting, head, leases, holders, paused = await asyncio.gather(
        session.ask(request, "LLEN", name),
        session.ask(request, "LINDEX", name, "0"),
        session.ask(request, "HGETALL", keys.leases(name)),
        session.ask(request, "ZRANGE", keys.holders(name), "0", "-1"),
        session.ask(request, "EXISTS", keys.paused(name)),
    )
    slots = dict(_lease(*pair) for pair in zip(leases[::2], leases[1::2], strict=True))
    holding = [holder.decode(errors="replace") for holder in holders]
    counts = await asyncio.gather(
        *(session.ask(request, "LLEN", keys.inflight(name, holder)) for holder in holding)
    )
    held: Mapping[str, int] = dict(zip(holding, counts, strict=True))
    look = QueueLook(
        waiting=0 if paused else waiting,
        held=sum(counts),
        busy=sum(min(count, slots.get(holder, 0)) for holder, count in held.items()),
        head=head,
        head_age=_age(head, now),
    )
    return look, slots


def _lease(holder: bytes, lease: bytes) -> tuple[str, int]:
    """Read `<pulse> <slots>`."""
    slots = lease.rpartition(b" ")[2]
    return holder.decode(errors="replace"), int(slots) if slots.isdigit() else 0


def _age(head: Any, now: datetime) -> float | None:
    if head is None:
        return None
    try:
        return max(0.0, (now - waits_since(decode_task(head))).total_seconds())
    except MessageError:
        return None
