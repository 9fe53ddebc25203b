"""What the last looks at the queues tell of the load: plain classes, without a clock of their own.

Nothing on the server counts what is pushed. But what is pushed makes the queue longer, or is taken:
so the rate is what the tasks that wait or are held have grown by, and what has ended meanwhile. The
latter is known without anybody's reports: busy slots, each as long as a task takes (Little's law).
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, frozen

from runtime.pool.decision import Load

SPAN: Final = 10.0
"""Seconds over which arrivals are counted: a burst counts for so long."""

_UNKNOWN: Final = 1.0
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


class Window:
    """The looks of the last seconds."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int, int]] = deque()
        self._watched: dict[str, _Watched] = {}
        self._seen: float | None = None

    def __repr__(self) -> str:
        return f"Window({len(self._looks)} looks)"

    def add(self, queues: dict[str, QueueLook], service_time: float | None, now: float) -> Load:
        """Add a look and return the load.

        Args:
            queues: what was found, by queue.
            service_time: seconds that a task takes; None while that isn't known.
            now: seconds of any clock that only goes forward.
        """
        total = sum(look.waiting + look.held for look in queues.values())
        self._looks.append((now, total, sum(look.busy for look in queues.values())))
        while now - self._looks[0][0] > SPAN:
            self._looks.popleft()
        oldest = max((self._age(name, look, now) for name, look in queues.items()), default=0.0)
        self._seen = now
        took = _UNKNOWN if service_time is None else max(service_time, 1e-6)
        grown = (total - self._looks[0][1]) / SPAN
        busy = sum(busy for _, _, busy in self._looks) / len(self._looks)
        return Load(
            arrival_rate=max(0.0, busy / took + grown),
            service_time=took,
            backlog=sum(look.waiting for look in queues.values()),
            oldest=oldest,
        )

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


@frozen
class Ended:
    """What a worker has done since it started, as it tells its supervisor.

    Attributes:
        tasks: handlers that have ended.
        seconds: the time that they took.
        running: the time for which those have run that run now.
    """

    tasks: int = 0
    seconds: float = 0.0
    running: float = 0.0


class ServiceTime:
    """How long tasks take, by what the workers have told lately.

    What still runs counts with the time that it has run, so that tasks which take longer than
    those before are noticed before they have ended.
    """

    def __init__(self) -> None:
        self._told: deque[tuple[float, int, float]] = deque()
        self._last: dict[str, Ended] = {}
        self._tasks = 0
        self._seconds = 0.0

    def __repr__(self) -> str:
        return f"ServiceTime({self._tasks} tasks, {self._seconds:.3f} s)"

    def note(self, workers: dict[str, Ended], now: float) -> float | None:
        """Note what the workers tell now, and return the seconds that a task takes, if known.

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
        self._tasks += tasks
        self._seconds += seconds
        while now - self._told[0][0] > _REMEMBERED:
            _, old_tasks, old_seconds = self._told.popleft()
            self._tasks -= old_tasks
            self._seconds -= old_seconds
        return _mean(self._tasks, self._seconds, [told.running for told in workers.values()])


def _mean(tasks: int, seconds: float, running: Sequence[float]) -> float | None:
    if tasks:
        return (seconds + sum(running)) / tasks
    return max(_UNKNOWN, *running) if any(running) else None
