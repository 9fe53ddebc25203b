"""What `status` finds of workers: their heartbeats, their leases, and what they run."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen

from messages import MessageError, Progress, decode_progress, decode_task
from runtime.cli.queue_views import HolderView, worker_of
from runtime.errors import RequestRefusedError
from runtime.heartbeats import Asks, texts
from runtime.redis import keys

_EXPIRES: Final = 60.0
"""Seconds after which a heartbeat expires; the contract's."""

_TASKS: Final = 200
"""Held tasks that are read in one look at most; each is a whole body."""

_OF_ONE: Final = 8
"""Held tasks that are read of one holder at most."""

_RUNS: Final = "tell what runs"


@frozen
class TaskView:
    """A task that runs.

    Attributes:
        task_id: its id.
        type: its type.
        queue: where it came from.
        seconds: how long it has run.
        attempt: the number of this run.
        done: how much is done; None if the handler doesn't say.
        total: how much there is to do in all; None likewise.
    """

    task_id: str
    type: str
    queue: str
    seconds: float
    attempt: int = 1
    done: float | None = None
    total: float | None = None


@frozen
class HeldView:
    """A task that a worker holds: it runs, or is about to.

    Attributes:
        task_id: its id.
        type: its type.
    """

    task_id: str
    type: str


@frozen
class WorkerView:
    """A worker, by its last heartbeat, its lease and the tasks that it holds.

    Attributes:
        worker_id: its name.
        queues: what it serves.
        slots: how many tasks it can run at once.
        active: how many of them are busy.
        processed: tasks answered, failures included.
        failed: of these, failures.
        heartbeat_s: seconds since the heartbeat.
        lease_alive: whether it has renewed its leases lately, so that it may take tasks.
        lease_s: seconds since it renewed the lease that is oldest; None if it has none.
        version: of its software.
        memory_bytes: what of its memory is resident; None if it doesn't tell.
        clock_s: by how many seconds its clock is ahead of the server's; None if that can't be told.
        runs: the tasks that have run for half a second or more, the longest first; of many some.
        holds: the tasks that it may run, the first taken first; of many some.
        host: its machine's name, as it tells it.
        pid: its process, likewise; 0 if it doesn't tell.
    """

    worker_id: str
    queues: tuple[str, ...]
    slots: int
    active: int
    processed: int
    failed: int
    heartbeat_s: float
    lease_alive: bool
    lease_s: float | None = None
    version: str = ""
    memory_bytes: int | None = None
    clock_s: float | None = None
    runs: tuple[TaskView, ...] = ()
    holds: tuple[HeldView, ...] = ()
    host: str = ""
    pid: int = 0


async def heartbeat_ages(session: Asks, beats: Sequence[dict[str, Any]]) -> list[float | None]:
    """Return how many seconds ago heartbeats were stored, by the server's clock.

    None stands for one that has gone meanwhile, or expires otherwise than the contract says, and
    for each where access rules forbid to ask.
    """
    request = "tell the workers' heartbeats"
    asked = (session.ask(request, "PTTL", keys.heartbeat(beat["worker_id"])) for beat in beats)
    try:
        left = await asyncio.gather(*asked)
    except RequestRefusedError:
        return [None] * len(beats)
    return [_EXPIRES - ms / 1000 if 0 <= ms <= _EXPIRES * 1000 else None for ms in left]


async def read_held(
    session: Asks, holders: Mapping[str, Sequence[HolderView]]
) -> dict[str, tuple[HeldView, ...]]:
    """Read which tasks are held, by holder: the first of each list, some hundreds in all.

    Args:
        session: the way to the server.
        holders: by queue.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    left, wanted = _TASKS, []
    for queue, those in holders.items():
        for holder in those:
            count = min(holder.held, _OF_ONE, left)
            if count:
                wanted.append((queue, holder, count))
                left -= count
    lists = await asyncio.gather(
        *(
            session.ask(_RUNS, "LRANGE", keys.inflight(queue, holder.name), "0", str(count - 1))
            for queue, holder, count in wanted
        )
    )
    held: dict[str, tuple[HeldView, ...]] = {}
    for (_, holder, _), bodies in zip(wanted, lists, strict=True):
        read = tuple(task for body in bodies if (task := _held(body)) is not None)
        held[holder.name] = held.get(holder.name, ()) + read
    return held


async def read_runs(
    session: Asks, held: Mapping[str, Sequence[HeldView]], server_now: datetime
) -> dict[str, tuple[TaskView, ...]]:
    """Read which tasks run, by holder, the longest first.

    Of those that are held the workers tell which have run for half a second or more.

    Args:
        session: the way to the server.
        held: what each holder holds.
        server_now: the server's time.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    ids = [(holder, task.task_id) for holder, tasks in held.items() for task in tasks]
    if not ids:
        return {}
    told = await session.ask(_RUNS, "MGET", *(keys.progress(task_id) for _, task_id in ids))
    runs: dict[str, list[TaskView]] = {}
    for (holder, _), raw in zip(ids, told, strict=True):
        progress = None if raw is None else decode_progress(raw)
        if progress is not None and progress.worker_id == worker_of(holder):
            runs.setdefault(holder, []).append(_task(progress, server_now))
    return {
        name: tuple(sorted(those, key=lambda task: -task.seconds)) for name, those in runs.items()
    }


def view_of(
    beat: dict[str, Any],
    stored_s: float | None,
    holding: Sequence[HolderView | None],
    runs: tuple[TaskView, ...],
    server_now: datetime,
) -> WorkerView:
    """Put together what is known of a worker.

    Args:
        beat: its heartbeat.
        stored_s: how many seconds ago that was stored, if the server tells.
        holding: it as a holder of each of its queues; None where it is none.
        runs: what it runs.
        server_now: the server's time.
    """
    known = [holder for holder in holding if holder is not None]
    said = _time(beat.get("timestamp"), server_now)
    by_clocks = (server_now - said).total_seconds()
    slots = _count(beat.get("slots"))
    busy = sum(holder.held for holder in known) if known else _count(beat.get("active_tasks"))
    memory = beat.get("memory_bytes")
    return WorkerView(
        worker_id=beat["worker_id"],
        queues=tuple(texts(beat.get("queues"))),
        slots=slots,
        active=min(slots, busy),
        processed=_count(beat.get("tasks_processed")),
        failed=_count(beat.get("tasks_failed")),
        heartbeat_s=max(0.0, by_clocks if stored_s is None else stored_s),
        lease_alive=bool(known) and all(h is not None and h.lives for h in holding),
        lease_s=max((holder.lease_s for holder in known), default=None),
        version=str(beat.get("version") or ""),
        memory_bytes=memory if isinstance(memory, int) else None,
        clock_s=None if stored_s is None else stored_s - by_clocks,
        runs=runs,
        host=str(beat.get("host") or ""),
        pid=_count(beat.get("pid")),
    )


def _task(progress: Progress, server_now: datetime) -> TaskView:
    return TaskView(
        task_id=progress.task_id,
        type=progress.type,
        queue=progress.queue,
        seconds=max(0.0, (server_now - _aware(progress.started_at)).total_seconds()),
        attempt=progress.attempt,
        done=progress.done,
        total=progress.total,
    )


def _held(body: bytes) -> HeldView | None:
    try:
        task = decode_task(body)
    except MessageError:
        return None
    return HeldView(task.id, task.type)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _time(value: object, otherwise: datetime) -> datetime:
    try:
        return _aware(datetime.fromisoformat(str(value)))
    except ValueError:
        return otherwise


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
