"""What `status` finds on a server: queues, and the workers that serve them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen

from messages import MessageError, decode_task
from runtime.heartbeats import Asks, queues_of, read_heartbeats, texts
from runtime.redis import keys

LIVES: Final = 4.0
"""Seconds without a renewal after which a lease counts as lapsed; others reclaim by then."""

_LONGEST_TIME: Final = 14
"""Digits of the ms of a time that a calendar has."""


@frozen
class QueueView:
    """A queue.

    Attributes:
        name: its key.
        waiting: tasks that wait.
        in_flight: tasks that workers hold.
        dead: dead letters.
        oldest_s: seconds since the next task was created; None if none waits or it can't be read.
        delayed: tasks that wait for their time.
        paused_s: seconds since the queue was paused; None if it isn't.
        trimmed: dead letters that have made room for newer ones.
    """

    name: str
    waiting: int
    in_flight: int
    dead: int
    oldest_s: float | None
    delayed: int = 0
    paused_s: float | None = None
    trimmed: int = 0


@frozen
class WorkerView:
    """A worker, by its last heartbeat.

    Attributes:
        worker_id: its name.
        queues: what it serves.
        slots: how many tasks it can run at once.
        active: how many ran.
        processed: tasks answered, failures included.
        failed: of these, failures.
        heartbeat_s: seconds since the heartbeat.
        lease_alive: whether it has renewed its leases lately, so that it may take tasks.
    """

    worker_id: str
    queues: tuple[str, ...]
    slots: int
    active: int
    processed: int
    failed: int
    heartbeat_s: float
    lease_alive: bool


@frozen
class RecurringView:
    """A recurring task.

    Attributes:
        name: its name.
        queue: where its tasks go.
        fired: the time up to which it was fired, UTC: its last due time, or when it was first seen.
        fired_s: seconds since then; negative if the server's clock was set back.
    """

    name: str
    queue: str
    fired: str
    fired_s: float


@frozen
class Overview:
    """All of it, with what needs somebody's attention in words."""

    queues: tuple[QueueView, ...]
    workers: tuple[WorkerView, ...]
    remarks: tuple[str, ...]
    recurring: tuple[RecurringView, ...] = ()


async def overview(session: Asks, named: Sequence[str], now: datetime) -> Overview:
    """Look at the server.

    Args:
        session: the way there.
        named: queues to look at, beside the contract's and those that workers serve.
        now: this machine's time.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    beats = await read_heartbeats(session)
    names = queues_of(beats, named)
    found = [await look_at(session, name, now) for name in names]
    renewals = {name: renewed for name, (_, renewed) in zip(names, found, strict=True)}
    clock = await session.ask("tell the time", "TIME")
    server_now = int(clock[0]) + int(clock[1]) / 1e6
    workers = tuple(_worker(beat, renewals, server_now, now) for beat in beats)
    queues = tuple(queue for queue, _ in found)
    recurring = [await _recurring(session, name, server_now) for name in names]
    views = tuple(view for those in recurring for view in those)
    return Overview(queues, workers, remarks(queues, workers), views)


def remarks(queues: Sequence[QueueView], workers: Sequence[WorkerView]) -> tuple[str, ...]:
    """Say what needs somebody's attention."""
    said = []
    for queue in queues:
        serving = [worker for worker in workers if queue.name in worker.queues]
        if queue.paused_s is not None:
            said.append(
                f"{queue.name} is paused, for {queue.paused_s:.0f} s now: nothing is taken from it "
                "until `resume`."
            )
        if queue.waiting and not serving:
            verb = "task waits" if queue.waiting == 1 else "tasks wait"
            said.append(f"{queue.waiting} {verb} on {queue.name}, and no worker serves it.")
        elif queue.waiting and not any(worker.lease_alive for worker in serving):
            said.append(f"No worker of {queue.name} has a living lease: its tasks wait.")
        if queue.in_flight and not serving:
            said.append(
                f"{queue.in_flight} tasks of {queue.name} are held by workers that are gone; the "
                "next worker that serves it takes them over."
            )
        if queue.trimmed:
            said.append(
                f"{queue.trimmed} dead letters of {queue.name} have made room for newer ones "
                "(--dead-letters-kept)."
            )
    return tuple(said)


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
    renewed = {
        holder.decode(errors="replace"): float(score) / 1000
        for holder, score in zip(ranked[::2], ranked[1::2], strict=True)
    }
    lists = [keys.inflight(name, holder) for holder in renewed]
    held = await asyncio.gather(*(session.ask(request, "LLEN", key) for key in lists))
    view = QueueView(
        name,
        waiting,
        sum(held),
        dead,
        _age(head, now),
        delayed,
        None if paused is None else max(0.0, int(clock[0]) - _whole(paused) / 1000),
        _whole(trimmed),
    )
    return view, renewed


def _whole(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


async def _recurring(session: Asks, queue: str, server_now: float) -> list[RecurringView]:
    """Look at a queue's recurring tasks, by name; what can't be read is passed over."""
    listed = await session.ask(f"tell of {queue}", "HGETALL", keys.recurring(queue))
    views = []
    for name, value in sorted(zip(listed[::2], listed[1::2], strict=True)):
        upto = value.partition(b" ")[0]
        if upto.isdigit() and len(upto) <= _LONGEST_TIME:
            fired = int(upto) / 1000
            views.append(
                RecurringView(
                    name=name.decode(errors="replace"),
                    queue=queue,
                    fired=datetime.fromtimestamp(fired, UTC).isoformat().replace("+00:00", "Z"),
                    fired_s=server_now - fired,
                )
            )
    return views


def _age(head: bytes | None, now: datetime) -> float | None:
    if head is None:
        return None
    try:
        return max(0.0, (now - decode_task(head).created_at).total_seconds())
    except MessageError:
        return None


def _worker(
    beat: dict[str, Any],
    renewals: dict[str, dict[str, float]],
    server_now: float,
    now: datetime,
) -> WorkerView:
    queues = tuple(texts(beat.get("queues")))
    last = [renewals.get(queue, {}).get(str(beat.get("holder"))) for queue in queues]
    return WorkerView(
        worker_id=beat["worker_id"],
        queues=queues,
        slots=_count(beat.get("slots")),
        active=_count(beat.get("active_tasks")),
        processed=_count(beat.get("tasks_processed")),
        failed=_count(beat.get("tasks_failed")),
        heartbeat_s=max(0.0, (now - _time(beat.get("timestamp"), now)).total_seconds()),
        lease_alive=bool(last) and all(at is not None and server_now - at < LIVES for at in last),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _time(value: object, otherwise: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return otherwise
    return found if found.tzinfo else found.replace(tzinfo=UTC)
