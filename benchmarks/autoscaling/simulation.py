"""Workers, slots and a queue, event by event."""

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from enum import IntEnum

from attrs import define, frozen

from benchmarks.autoscaling.loads import Load
from benchmarks.autoscaling.policies import Policy, Seen
from runtime.pool.decision import Goal
from runtime.pool.window import Ended, QueueLook, ServiceTime

_LOOK = 0.5
_START = 1.5
"""Seconds from the start of a worker's process until it takes tasks."""


class _What(IntEnum):
    """What happens, in the order in which things of the same moment do."""

    END = 1
    READY = 2
    PUSH = 3
    LOOK = 4


@frozen
class Figures:
    """What came of it.

    Attributes:
        waits: seconds that tasks have waited, in rising order, and how many tasks each stands for.
        worker_seconds: for which worker processes ran.
        mean_workers: how many ran on average.
        flaps: how often the pool grew within a minute after it had shrunk.
        cut: busy workers that were told to end.
    """

    waits: tuple[tuple[float, float], ...]
    worker_seconds: float
    mean_workers: float
    flaps: float
    cut: float

    @property
    def tasks(self) -> float:
        """How many tasks were run."""
        return sum(count for _, count in self.waits)

    @property
    def mean_wait(self) -> float:
        """Seconds that a task has waited on average."""
        return sum(wait * count for wait, count in self.waits) / self.tasks

    def wait(self, share: float) -> float:
        """Return the wait that so many of the tasks don't exceed."""
        left = share * self.tasks
        for wait, count in self.waits:
            left -= count
            if left < 0:
                return wait
        return self.waits[-1][0]


def mixed(one: Figures, other: Figures, cost: float) -> Figures:
    """Return what runs under both come to, each for such a share that they cost so much.

    Args:
        one: costs at most that.
        other: costs more.
        cost: worker-seconds.
    """
    share = (cost - one.worker_seconds) / (other.worker_seconds - one.worker_seconds)
    parts = ((one, 1 - share), (other, share))
    waits = [(wait, count * part) for figures, part in parts for wait, count in figures.waits]
    return Figures(
        tuple(sorted(waits)),
        cost,
        sum(figures.mean_workers * part for figures, part in parts),
        sum(figures.flaps * part for figures, part in parts),
        sum(figures.cut * part for figures, part in parts),
    )


def added(parts: Sequence[Figures]) -> Figures:
    """Return what several loads come to together."""
    cost = sum(part.worker_seconds for part in parts)
    return Figures(
        tuple(sorted(wait for part in parts for wait in part.waits)),
        cost,
        cost / sum(part.worker_seconds / part.mean_workers for part in parts),
        sum(part.flaps for part in parts),
        sum(part.cut for part in parts),
    )


@define(eq=False)
class _Worker:
    since: float
    ready: bool = False
    retired: bool = False
    busy: int = 0


class Simulation:
    """One load under one policy.

    Args:
        load: what is pushed.
        policy: who decides.
        goal: for the slots of a worker, and the number of workers at the start.
    """

    def __init__(self, load: Load, policy: Policy, goal: Goal) -> None:
        self._load = load
        self._policy = policy
        self._slots = goal.slots
        self._events: list[tuple[float, int, int, object]] = []
        self._order = itertools.count()
        self._queue: deque[tuple[float, float, int]] = deque()
        self._workers: list[_Worker] = []
        self._running: dict[int, float] = {}
        self._done = Ended()
        self._service_time = ServiceTime()
        self._waits: list[float] = []
        self._paid = 0.0
        self._shrunk_at = float("-inf")
        self._flaps = self._cut = 0
        for _ in range(goal.least):
            self._workers.append(_Worker(0.0, ready=True))

    def run(self) -> Figures:
        """Run until all is done and the load is over."""
        for number, (at, took) in enumerate(self._load.tasks):
            self._at(at, _What.PUSH, (at, took, number))
        self._at(0.0, _What.LOOK, None)
        now = 0.0
        while self._events:
            now, what, _, which = heapq.heappop(self._events)
            self._happen(now, _What(what), which)
            self._begin(now)
        for worker in self._workers:
            self._paid += now - worker.since
        waits = tuple((wait, 1.0) for wait in sorted(self._waits))
        return Figures(waits, self._paid, self._paid / now, self._flaps, self._cut)

    def _at(self, when: float, what: _What, which: object) -> None:
        heapq.heappush(self._events, (when, what, next(self._order), which))

    def _happen(self, now: float, what: _What, which: object) -> None:
        match what, which:
            case _What.PUSH, (float(at), float(took), int(number)):
                self._queue.append((at, took, number))
            case _What.READY, _Worker() as worker:
                worker.ready = True
            case _What.END, (_Worker() as worker, int(number), float(took)):
                worker.busy -= 1
                del self._running[number]
                self._done = Ended(self._done.tasks + 1, self._done.seconds + took)
                self._leave(worker, now)
            case _:
                self._look(now)

    def _begin(self, now: float) -> None:
        for worker in self._workers:
            while self._queue and worker.ready and not worker.retired and worker.busy < self._slots:
                pushed, took, number = self._queue.popleft()
                self._waits.append(now - pushed)
                worker.busy += 1
                self._running[number] = now
                self._at(now + took, _What.END, (worker, number, took))

    def _look(self, now: float) -> None:
        running = sum(now - since for since in self._running.values())
        done = Ended(self._done.tasks, self._done.seconds + running)
        active = [worker for worker in self._workers if not worker.retired]
        starting = sum(not worker.ready for worker in active)
        took = self._service_time.note({"all": done}, now)
        wanted = self._policy.wanted(Seen(now, self._queue_look(now), took, len(active), starting))
        if wanted > len(active):
            self._flaps += now - self._shrunk_at < 60
            for _ in range(wanted - len(active)):
                self._start(now)
        elif wanted < len(active):
            self._shrunk_at = now
            for worker in active[wanted:]:
                worker.retired = True
                self._cut += worker.busy > 0
                self._leave(worker, now)
        if now < self._load.seconds or self._queue or self._running:
            self._at(now + _LOOK, _What.LOOK, None)

    def _queue_look(self, now: float) -> QueueLook:
        held, head = len(self._running), self._queue[0] if self._queue else None
        return QueueLook(
            waiting=len(self._queue),
            held=held,
            busy=held,
            head=None if head is None else str(head[2]).encode(),
            head_age=None if head is None else now - head[0],
        )

    def _start(self, now: float) -> None:
        worker = _Worker(now)
        self._workers.append(worker)
        self._at(now + _START, _What.READY, worker)

    def _leave(self, worker: _Worker, now: float) -> None:
        """Let a worker end that has drained."""
        if worker.retired and not worker.busy and worker in self._workers:
            self._workers.remove(worker)
            self._paid += now - worker.since
