"""What Redis tells of the pool that serves BRAiN: its two queues, and its workers' heartbeats.

Nothing here scans tasks or answers. A queue's head tells since when it waits; that compares the
clocks of two machines, and decides nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from attrs import frozen
from redis.asyncio import Redis

from messages import Answered, MessageError, Task, decode_task
from runtime.redis import keys

QUEUES: Final = (keys.CLUSTER_QUEUE, keys.MISSION_QUEUE)


@frozen
class Backlog:
    """What waits on a queue.

    Attributes:
        queue: Its name.
        waiting: How many tasks.
        oldest_s: Seconds that its head has waited; None if none waits, or it is no task.
    """

    queue: str
    waiting: int
    oldest_s: float | None


@frozen
class Beat:
    """What is needed of a heartbeat; other versions' heartbeats may lack most of it."""

    worker_id: str
    cpu_percent: float | None = None
    memory_percent: float | None = None
    last_minute: dict[str, Answered] | None = None


@frozen
class Totals:
    """What the workers that serve BRAiN have told in their last heartbeats.

    Attributes:
        workers: How many there are.
        cpu: The mean over those that tell it of the share of one processor, in percent.
        memory: The mean over those that tell it of the share of their memory, in percent.
        answered: What they answered on BRAiN's queues in the last minute; None if none tells it.
    """

    workers: int
    cpu: float | None
    memory: float | None
    answered: Answered | None


async def backlogs(redis: Redis, now: datetime) -> tuple[Backlog, ...]:
    """Look at both queues.

    Args:
        redis: The pool's Redis.
        now: The time, aware.

    Raises:
        RedisError: The server is out of reach or refuses.
    """
    found = []
    for queue in QUEUES:
        waiting, head = await redis.llen(queue), await redis.lindex(queue, 0)
        found.append(Backlog(queue, waiting, _waited(head, now)))
    return tuple(found)


async def beats(redis: Redis) -> list[Beat]:
    """Return the heartbeats of the living workers that serve one of BRAiN's queues.

    They are found by who holds leases: the key space, with its many results, isn't scanned.

    Raises:
        RedisError: The server is out of reach or refuses.
    """
    holders = [name for queue in QUEUES for name in await redis.zrange(keys.holders(queue), 0, -1)]
    workers = dict.fromkeys(_worker(holder) for holder in holders)
    names = [keys.heartbeat(worker) for worker in workers]
    bodies = await redis.mget(names) if names else []
    found = [_beat(body) for body in bodies if body is not None]
    return [beat for beat in found if beat is not None]


def totals(found: Sequence[Beat]) -> Totals:
    """Add the heartbeats up."""
    minutes = [beat.last_minute for beat in found if beat.last_minute is not None]
    parts = [minute[queue] for minute in minutes for queue in QUEUES if queue in minute]
    answered = Answered(
        tasks=sum(part.tasks for part in parts),
        failed=sum(part.failed for part in parts),
        ran=sum(part.ran for part in parts),
        seconds=sum(part.seconds for part in parts),
    )
    return Totals(
        workers=len(found),
        cpu=_mean(beat.cpu_percent for beat in found),
        memory=_mean(beat.memory_percent for beat in found),
        answered=answered if minutes else None,
    )


def waits_since(task: Task) -> datetime:
    """Return when a waiting task was last put on its queue, as far as its body tells."""
    moments = [task.created_at, task.not_before, *(error.time for error in task.errors)]
    return max(_aware(moment) for moment in moments if moment is not None)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _waited(head: Any, now: datetime) -> float | None:
    if head is None:
        return None
    try:
        return round(max(0.0, (now - waits_since(decode_task(head))).total_seconds()), 3)
    except MessageError:
        return None


def _worker(holder: Any) -> str:
    """Return the worker of a holder, `<worker_id>#<random per start>`."""
    return str(holder.decode(errors="replace").rpartition("#")[0])


def _beat(body: Any) -> Beat | None:
    try:
        return msgspec.json.decode(body, type=Beat)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _mean(values: Iterable[float | None]) -> float | None:
    told: list[Any] = [value for value in values if value is not None]
    return round(sum(told) / len(told), 2) if told else None
