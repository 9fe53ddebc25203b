"""The pool's decision for workers that something else starts and ends, such as a cluster.

Whoever asks has seen nothing before, so arrivals are what keeps the slots busy (Little's law), by a
few looks; what has grown since shows in the backlog. How long tasks take is told by heartbeats.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import msgspec
from attrs import evolve, frozen

from messages import Answered
from runtime.heartbeats import Asks, queues_of, read_heartbeats
from runtime.pool.decision import Decision, Goal, Load, decide
from runtime.pool.figures import Look, look_at
from runtime.pool.window import UNKNOWN, Window

_LOOKS: Final = 5
_PAUSE: Final = 0.25
"""Seconds between looks."""


@frozen
class Desired:
    """How many workers there should be, and what that follows from.

    Attributes:
        workers: the number.
        reason: in words.
        current: workers that hold a lease now.
        slots: tasks that one worker runs at once.
        waiting: tasks that wait.
        in_flight: tasks that workers hold.
        oldest_s: seconds that the next task has waited; 0 if none waits.
        arrival_rate: tasks a second that keep the slots busy.
        service_s: seconds that a task takes.
        queues: where was looked.
    """

    workers: int
    reason: str
    current: int
    slots: int
    waiting: int
    in_flight: int
    oldest_s: float
    arrival_rate: float
    service_s: float
    queues: tuple[str, ...]


async def desired(session: Asks, named: Sequence[str], goal: Goal) -> Desired:
    """Look at the queues for a second, and decide; cancelled, it leaves nothing behind.

    Args:
        session: the way to the server.
        named: the queues; those of BRAiN and of living workers if none is named.
        goal: what is to be kept; its slots count if no worker lives.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    beats = await read_heartbeats(session)
    queues = tuple(named) or queues_of(beats, ())
    service_time = took(beats, queues)
    looks = [await look_at(session, queues, datetime.now(UTC))]
    while len(looks) < _LOOKS:
        await anyio.sleep(_PAUSE)
        looks.append(await look_at(session, queues, datetime.now(UTC)))
    return _decided(looks, service_time, goal)


def _decided(looks: Sequence[Look], service_time: float, goal: Goal) -> Desired:
    look = looks[-1]
    busy = sum(queue.busy for seen in looks for queue in seen.queues.values()) / len(looks)
    current = len(look.slots)
    slots = round(sum(look.slots.values()) / current) if current else goal.slots
    load = evolve(_seen(look, service_time), arrival_rate=busy / max(service_time, 1e-6))
    decision: Decision = decide(load, current, evolve(goal, slots=max(1, slots)))
    return Desired(
        workers=decision.workers,
        reason=decision.reason,
        current=current,
        slots=slots,
        waiting=int(load.backlog),
        in_flight=sum(queue.held for queue in look.queues.values()),
        oldest_s=round(load.oldest, 3),
        arrival_rate=round(load.arrival_rate, 3),
        service_s=round(service_time, 6),
        queues=tuple(look.queues),
    )


def _seen(look: Look, service_time: float) -> Load:
    """Return the load of a single look, which believes what a head says of its age."""
    load = Window().add(look.queues, service_time, 0.0)
    ages = (queue.head_age or 0.0 for queue in look.queues.values() if queue.waiting)
    return evolve(load, oldest=max(ages, default=0.0))


def took(beats: Sequence[dict[str, Any]], queues: Sequence[str]) -> float:
    """Return how many seconds tasks of these queues took in the last minute, by heartbeats."""
    found = [part for beat in beats for part in _answered(beat.get("last_minute"), queues)]
    ran = sum(part.ran for part in found)
    return sum(part.seconds for part in found) / ran if ran else UNKNOWN


def _answered(minute: Any, queues: Sequence[str]) -> list[Answered]:
    try:
        read = msgspec.convert(minute or {}, dict[str, Answered])
    except msgspec.ValidationError:
        return []
    return [read[queue] for queue in queues if queue in read]
