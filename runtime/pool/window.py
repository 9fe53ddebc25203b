"""What the last looks at the queues tell of the load: plain classes, without a clock of their own.

Nothing on the server counts what is pushed. But what is pushed makes the queue longer, or is taken:
so the rate is what the tasks that wait or are held have grown by, and what has ended meanwhile. The
latter is known without anybody's reports: busy slots, each as long as a task takes (Little's law).

The rate is that of several seconds, as far as the last two allow it: arrivals scatter by the square
root of their number (Poisson), and what differs by more isn't chance. So a jump or an end is seen
at once, and a steady load isn't taken for either.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, frozen

from runtime.pool.decision import Load

SPAN: Final = 8.0
"""Seconds over which arrivals are counted: a burst counts for so long."""

_SPAN_TASKS: Final = 3.0
"""The same in the time that tasks take, where that is more: few tasks tell little."""

_LONGEST_SPAN: Final = 120.0
"""Seconds that are always enough."""

_RECENT: Final = 2.0
"""Seconds over which a jump of the arrivals is looked for."""

_SURE: Final = 1.5
"""Standard deviations by which a jump must exceed chance."""

UNKNOWN: Final = 1.0
"""Seconds that a task is believed to take while none has ended."""

_REMEMBERED: Final = 60.0
"""Seconds over which the time that tasks take is measured."""


@frozen
class QueueLook:
    """A queue at one moment.

    Attributes:
        waiting: tasks that wait; 0 if the queue is paused, for no worker could take them.
        held: tasks that workers hold.
        busy: those of them that run: no more than their holders have slots.
        head: the body of the next task; None if none waits.
        head_age: seconds that it has waited by its own account; None if it has none.
    """

    waiting: int = 0
    held: int = 0
    busy: int = 0
    head: bytes | None = None
    head_age: float | None = None


@define
class _Watched:
    """What is remembered of a queue.

    Attributes:
        head: the body that was next.
        head_since: when it was first seen there.
        waiting_since: since when some task has been waiting.
    """

    head: bytes
    head_since: float
    waiting_since: float


@frozen
class _Look:
    """All queues at one moment.

    Attributes:
        at: when.
        total: tasks that wait or are held.
        busy: tasks that run.
    """

    at: float
    total: int
    busy: int


class Window:
    """The looks of the last seconds."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._watched: dict[str, _Watched] = {}
        self._seen: float | None = None

    def __repr__(self) -> str:
        return f"Window({len(self._looks)} looks)"

    def add(self, queues: dict[str, QueueLook], service_time: float, now: float) -> Load:
        """Add a look and return the load.

        Args:
            queues: what was found, by queue.
            service_time: seconds that a task takes.
            now: seconds of any clock that only goes forward.
        """
        total = sum(look.waiting + look.held for look in queues.values())
        self._looks.append(_Look(now, total, sum(look.busy for look in queues.values())))
        took = max(service_time, 1e-6)
        span = min(_LONGEST_SPAN, max(SPAN, _SPAN_TASKS * took))
        while now - self._looks[0].at > span:
            self._looks.popleft()
        oldest = max((self._age(name, look, now) for name, look in queues.items()), default=0.0)
        self._seen = now
        grown = (total - self._looks[0].total) / span
        return Load(
            arrival_rate=self._bounded(_busy(self._looks) / took + grown, took),
            service_time=took,
            backlog=sum(look.waiting for look in queues.values()),
            oldest=oldest,
        )

    def _bounded(self, rate: float, took: float) -> float:
        """Return the rate that is nearest within what the last looks prove."""
        last = self._looks[-1]
        looks = [look for look in self._looks if last.at - look.at <= _RECENT]
        seconds = last.at - looks[0].at
        if seconds < _RECENT / 2:
            return max(0.0, rate)
        arrived = max(0.0, _busy(looks) / took * seconds + last.total - looks[0].total)
        scatter = _SURE * math.sqrt(arrived)
        least, most = arrived - scatter, arrived + scatter + _SURE**2
        return max(0.0, least / seconds, min(rate, most / seconds))

    def _age(self, name: str, look: QueueLook, now: float) -> float:
        """Return for how long a queue's head has waited.

        It says so itself, by its producer's clock, which may be any. What we have seen bounds it:
        it waits at least since we first saw it there, and at most since the queue was last empty.
        """
        if look.head is None or not look.waiting:
            self._watched.pop(name, None)
            return 0.0
        watched = self._watched.get(name)
        if watched is None:
            # With the first look of all nobody knows since when.
            since = now if self._seen is None else self._seen
            watched = self._watched[name] = _Watched(look.head, now, since)
        elif watched.head != look.head:
            watched.head, watched.head_since = look.head, now
        least, most = now - watched.head_since, now - watched.waiting_since
        return most if look.head_age is None else max(least, min(most, look.head_age))


def _busy(looks: Sequence[_Look]) -> float:
    """Return how many tasks ran on average."""
    return sum(look.busy for look in looks) / len(looks)


@frozen
class Ended:
    """What a worker has done since it started, as it tells its supervisor.

    Attributes:
        tasks: handlers that have ended.
        seconds: the time for which handlers have run, those included that run now.
    """

    tasks: int = 0
    seconds: float = 0.0


class ServiceTime:
    """How long tasks take, by what the workers have told lately.

    It is the time for which slots were busy, for each task that ended. So tasks that take longer
    than those before are noticed while they run. While little is known, it counts as one task more
    that took what tasks took before.
    """

    def __init__(self) -> None:
        self._told: deque[tuple[float, int, float]] = deque()
        self._last: Mapping[str, Ended] = {}
        self._before = self._found = UNKNOWN

    def __repr__(self) -> str:
        return f"ServiceTime({self._found:.3f} s)"

    def note(self, workers: Mapping[str, Ended], now: float) -> float:
        """Note what the workers tell now, and return the seconds that a task takes.

        Args:
            workers: what each has done, by its name and process; who isn't there has ended.
            now: seconds of any clock that only goes forward.
        """
        none = Ended()
        tasks, seconds = 0, 0.0
        for name, told in workers.items():
            before = self._last.get(name, none)
            tasks += told.tasks - before.tasks
            seconds += told.seconds - before.seconds
        self._last = workers
        self._told.append((now, tasks, seconds))
        while now - self._told[0][0] > _REMEMBERED:
            self._told.popleft()
        # Added up anew: sums from which old ones are taken away drift.
        tasks = sum(tasks for _, tasks, _ in self._told)
        seconds = sum(seconds for _, _, seconds in self._told)
        if not tasks and not seconds:
            self._before = self._found
        self._found = (seconds + self._before) / (tasks + 1)
        return self._found
