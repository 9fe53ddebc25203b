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

RECENT: Final = 3_600.0
"""Seconds for which a dead letter is news."""

_LETTERS: Final = 500
"""Dead letters that are read in one look at most."""

_BYTES: Final = 2**20
"""What these may have together, if they are as large as the newest; each may have 1 MiB itself."""


def worker_of(holder: str) -> str:
    """Return the name of the worker that holds tasks under a name."""
    return holder.rpartition("#")[0]


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
        return worker_of(self.name)


@frozen
class DeadView:
    """Dead letters of the last hour that are of one kind.

    Attributes:
        reason: why they were put away.
        type: the type of the tasks; empty where it can't be read.
        count: how many were read.
        newest_s: seconds since the newest was put away.
        oldest_s: seconds since the oldest of them was.
    """

    reason: str
    type: str
    count: int
    newest_s: float
    oldest_s: float


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
        dead_recent: the dead letters of the last hour by their kind, the kind with the newest
            first; of many the newest some hundreds.
        dead_more: whether there may be more of the last hour than were read.
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
    dead_recent: tuple[DeadView, ...] = ()
    dead_more: bool = False
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


async def recent_dead(
    session: Asks, name: str, dead: int, server_now: float
) -> tuple[tuple[DeadView, ...], bool]:
    """Read the dead letters of the last hour; say also whether there may be more.

    Args:
        session: the way to the server.
        name: the queue.
        dead: how many dead letters it has.
        server_now: the server's time.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    newest = await _letters(session, name, server_now, 1) if dead else []
    if not newest:
        return (), False
    _, words = newest[0]
    # A flood is of one kind, so its newest letter tells how large the others are.
    count = min(_LETTERS, max(1, _BYTES // sum(map(len, words))))
    found = newest if count == 1 else await _letters(session, name, server_now, count)
    kinds: dict[tuple[str, str], list[float]] = {}
    for entry, fields in found:
        told = dict(zip(fields[::2], fields[1::2], strict=True))
        reason, task_type = (
            told.get(field, b"").decode(errors="replace") for field in (b"reason", b"type")
        )
        since = max(0.0, server_now - int(entry.partition(b"-")[0]) / 1000)
        kinds.setdefault((reason, task_type), []).append(since)
    views = (
        DeadView(reason, task_type, len(ages), min(ages), max(ages))
        for (reason, task_type), ages in kinds.items()
    )
    return tuple(views), len(found) == count < dead


async def _letters(
    session: Asks, name: str, server_now: float, count: int
) -> list[tuple[bytes, list[bytes]]]:
    since = f"{max(0, int((server_now - RECENT) * 1000))}"
    found: list[tuple[bytes, list[bytes]]] = await session.ask(
        f"tell of {name}", "XREVRANGE", keys.dead(name), "+", since, "COUNT", f"{count}"
    )
    return found


def _whole(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


def _age(head: bytes | None, now: datetime) -> float | None:
    if head is None:
        return None
    try:
        return max(0.0, (now - waits_since(decode_task(head))).total_seconds())
    except MessageError:
        return None
