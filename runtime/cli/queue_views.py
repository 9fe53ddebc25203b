"""What `status` finds of queues, and who holds their tasks."""

import asyncio
from datetime import datetime
from typing import Final

from attrs import frozen

from messages import MessageError, decode_task
from runtime.brain.pool_figures import waits_since
from runtime.heartbeats import Asks
from runtime.redis import keys

LIVES: Final = 4.0
"""Seconds without a renewal after which a lease counts as lapsed; others reclaim by then."""


@frozen
class HolderView:
    """Who holds tasks of a queue, or may.

    Attributes:
        name: `<worker_id>#<random per start>`.
        held: how many tasks it holds.
        lease_s: seconds since it renewed its lease.
    """

    name: str
    held: int
    lease_s: float

    @property
    def lives(self) -> bool:
        """Whether it has renewed its lease lately."""
        return self.lease_s < LIVES

    @property
    def worker_id(self) -> str:
        """The worker's name."""
        return self.name.rpartition("#")[0]


@frozen
class QueueView:
    """A queue.

    Attributes:
        name: its key.
        waiting: tasks that wait.
        in_flight: tasks that workers hold.
        dead: dead letters.
        oldest_s: seconds that the next task has waited: since it was created, was due, or its last
            attempt failed; None if none waits or it can't be read.
        delayed: tasks that wait for their time.
        paused_s: seconds since the queue was paused; None if it isn't.
        trimmed: dead letters that have made room for newer ones.
        holders: who holds tasks of it, or may.
        dead_newest_s: seconds since the newest dead letter was put away; None if there is none.
        dead_newest: why that was, and what type of task it is.
        out_s: tasks that its workers answer a second; None if none of them tells it.
        in_s: tasks that come a second: those that are answered, and by how much the backlog grows;
            None until two looks have told that.
    """

    name: str
    waiting: int
    in_flight: int
    dead: int
    oldest_s: float | None
    delayed: int = 0
    paused_s: float | None = None
    trimmed: int = 0
    holders: tuple[HolderView, ...] = ()
    dead_newest_s: float | None = None
    dead_newest: str = ""
    out_s: float | None = None
    in_s: float | None = None


async def look_at(session: Asks, name: str, now: datetime) -> tuple[QueueView, dict[str, float]]:
    """Look at a queue; return it, and when each of its holders was last renewed.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    request = f"tell of {name}"
    waiting, dead, delayed, head, ranked, paused, trimmed, clock = await asyncio.gather(
        session.ask(request, "LLEN", name),
        session.ask(request, "XLEN", keys.dead(name)),
        session.ask(request, "ZCARD", keys.delayed(name)),
        session.ask(request, "LINDEX", name, "0"),
        session.ask(request, "ZRANGE", keys.holders(name), "0", "-1", "WITHSCORES"),
        session.ask(request, "GET", keys.paused(name)),
        session.ask(request, "GET", keys.trimmed(name)),
        session.ask(request, "TIME"),
    )
    server_now = int(clock[0]) + int(clock[1]) / 1e6
    renewed = {
        holder.decode(errors="replace"): float(score) / 1000
        for holder, score in zip(ranked[::2], ranked[1::2], strict=True)
    }
    lists = [keys.inflight(name, holder) for holder in renewed]
    held = await asyncio.gather(*(session.ask(request, "LLEN", key) for key in lists))
    holders = tuple(
        HolderView(holder, count, max(0.0, server_now - at))
        for (holder, at), count in zip(renewed.items(), held, strict=True)
    )
    view = QueueView(
        name,
        waiting,
        sum(held),
        dead,
        _age(head, now),
        delayed,
        None if paused is None else max(0.0, server_now - _whole(paused) / 1000),
        _whole(trimmed),
        holders,
    )
    return view, renewed


async def newest_dead(session: Asks, name: str, server_now: float) -> tuple[float, str] | None:
    """Return how many seconds ago a queue's newest dead letter was put away, and why.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    request = f"tell of {name}"
    found = await session.ask(request, "XREVRANGE", keys.dead(name), "+", "-", "COUNT", "1")
    if not found:
        return None
    entry, words = found[0]
    fields = dict(zip(words[::2], words[1::2], strict=True))
    why = [fields.get(field, b"").decode(errors="replace") for field in (b"reason", b"type")]
    return max(0.0, server_now - int(entry.partition(b"-")[0]) / 1000), " ".join(filter(None, why))


def _whole(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


def _age(head: bytes | None, now: datetime) -> float | None:
    if head is None:
        return None
    try:
        return max(0.0, (now - waits_since(decode_task(head))).total_seconds())
    except MessageError:
        return None
