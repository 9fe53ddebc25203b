"""How many workers the load needs: plain functions and classes, without a clock of their own.

The slots that are needed are those that arrivals keep busy (Little's law: their rate times the time
that one takes) and those that begin all that waits within the target. More workers come when these
exceed 80 % of what there is, fewer only when they would keep it below 60 %: in the band between
nothing changes, so that a steady load doesn't make the pool flap.
"""

import math
from collections import deque
from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt

_BUSY: Final = 0.8
"""Share of the slots that arrivals may keep busy before there are more workers."""

_IDLE: Final = 0.6
"""The same below which there may be fewer."""

CALM: Final = 4.0
"""Seconds for which fewer workers must have been enough before one is retired."""

_CALM_TASKS: Final = 3.0
"""The same in the time that tasks take, where that is more."""

_LONGEST_CALM: Final = 300.0
"""Seconds that are always enough."""


@frozen
class Load:
    """What the pool has to do.

    Attributes:
        arrival_rate: tasks that are pushed, each second.
        service_time: seconds that one takes.
        backlog: tasks that wait.
        oldest: seconds that the one that is next has waited; 0 if none waits.
    """

    arrival_rate: float = 0.0
    service_time: float = 1.0
    backlog: float = 0
    oldest: float = 0.0


@frozen
class Goal:
    """What the pool is to keep.

    Attributes:
        least: workers that there are always.
        most: workers that there may be.
        target_wait: seconds within which a task is to begin.
        slots: tasks that one worker runs at once.
    """

    least: int = field(default=1, validator=ge(1))
    most: int = field(default=1, validator=ge(1))
    target_wait: float = field(default=5.0, validator=gt(0))
    slots: int = field(default=2, validator=ge(1))

    def bounded(self, workers: int) -> int:
        """Return the number that is nearest within the bounds."""
        return max(self.least, min(self.most, workers))


@frozen
class Decision:
    """How many workers there are to be, and why.

    Attributes:
        workers: the number.
        reason: for people, in words.
    """

    workers: int
    reason: str


def decide(load: Load, workers: int, goal: Goal, *, starting: int = 0) -> Decision:
    """Decide how many workers there are to be.

    Args:
        load: what they have to do.
        workers: how many there are, those that start included, those that drain not.
        goal: what is to be kept.
        starting: those of them that don't take tasks yet: who is late waits for them first.
    """
    offered = load.arrival_rate * load.service_time
    # One slot for each task that waits is always enough.
    behind = load.backlog * min(1.0, load.service_time / goal.target_wait)
    needed = _workers(offered / _BUSY + behind, goal)
    late = load.backlog > 0 and load.oldest > goal.target_wait
    if late and needed <= workers:
        # Whatever the figures say, it isn't enough.
        needed = workers + (0 if starting else 1)
    if needed < workers:
        needed = min(workers, max(needed, _workers(offered / _IDLE + behind, goal)))
    chosen = goal.bounded(needed)
    return Decision(chosen, _reason(load, offered, needed, chosen))


def _workers(slots: float, goal: Goal) -> int:
    # Rounded, so that what is a whole number but for the last digit isn't one worker more.
    return math.ceil(round(slots / goal.slots, 6))


def _reason(load: Load, offered: float, needed: int, chosen: int) -> str:
    """Say what the number follows from."""
    said = f"arrivals keep {offered:.1f} slots busy"
    if load.backlog:
        said += f", {load.backlog:.0f} wait, the oldest for {load.oldest:.1f} s"
    if needed > chosen:
        said += f"; {needed} workers would be needed"
    return said


class Calm:
    """Lets the number of workers grow at once, and shrink only after a time.

    The number is the largest that was decided within that time: one quiet moment between two
    bursts retires nobody.

    """

    def __init__(self) -> None:
        self._decided: deque[tuple[float, int]] = deque()

    def __repr__(self) -> str:
        return f"Calm({list(self._decided)})"

    def steadied(self, workers: int, service_time: float, now: float) -> int:
        """Return how many workers there are to be.

        Args:
            workers: what was decided now.
            service_time: seconds that a task takes; the longer, the fewer arrivals tell of the
                load, and the more time it takes.
            now: seconds of any clock that only goes forward.
        """
        seconds = min(_LONGEST_CALM, max(CALM, _CALM_TASKS * service_time))
        # Only what may still be the largest is kept, in falling order.
        while self._decided and self._decided[-1][1] <= workers:
            self._decided.pop()
        self._decided.append((now, workers))
        while now - self._decided[0][0] > seconds:
            self._decided.popleft()
        return self._decided[0][1]
