"""Who decides how many workers there are."""

import math
from typing import Protocol

from attrs import frozen

from runtime.pool.decision import Calm, Goal, decide
from runtime.pool.window import QueueLook, Window


@frozen
class Seen:
    """What is seen at one look.

    Attributes:
        now: the time.
        queue: the queue.
        service_time: what tasks took lately.
        workers: those that aren't to end.
        starting: those of them that don't take tasks yet.
    """

    now: float
    queue: QueueLook
    service_time: float
    workers: int
    starting: int


class Policy(Protocol):
    """Decides how many workers there are to be."""

    def wanted(self, seen: Seen) -> int:
        """Return the number."""


class Fixed:
    """As many as somebody has chosen."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def wanted(self, seen: Seen) -> int:  # noqa: ARG002 - whatever is seen
        """Return the number that was chosen."""
        return self._workers


class ByLength:
    """A worker for so many tasks that wait, as scalers do that see nothing but the list.

    It looks as often as the pool does and is as slow to shrink, which is kinder than the defaults
    of such scalers.
    """

    def __init__(self, goal: Goal, tasks: int) -> None:
        self._goal = goal
        self._tasks = tasks
        self._calm = Calm()

    def wanted(self, seen: Seen) -> int:
        """Return the length divided by the tasks for each worker."""
        needed = self._goal.bounded(math.ceil(seen.queue.waiting / self._tasks))
        return self._calm.steadied(needed, seen.service_time, seen.now)


class ByWait:
    """The pool's own decision."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._window, self._calm = Window(), Calm()

    def wanted(self, seen: Seen) -> int:
        """Return what the supervisor of a pool would choose."""
        load = self._window.add({"queue": seen.queue}, seen.service_time, seen.now)
        decision = decide(load, seen.workers, self._goal, starting=seen.starting)
        return self._calm.steadied(decision.workers, load.service_time, seen.now)
