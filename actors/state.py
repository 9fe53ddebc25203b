"""The one thing that the actors share besides their channels: what the worker is doing.

Written by the executors and the fetcher, read by the heartbeat, by the drain and by people.
"""

from datetime import datetime
from enum import Enum
from math import inf

import anyio
from attrs import define, field, frozen
from msgspec.structs import replace

from actors.idle import Idle
from actors.instruments import Instruments
from actors.listener import Listener
from actors.notes import RunNotes
from actors.recent import Recent
from actors.tracing import Tracer
from messages import Delivery


class Interrupt(Enum):
    """Why a running handler is cancelled; recorded before the cancellation."""

    DRAIN = "drain"
    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"


@define(eq=False)
class Running:
    """A handler that runs at this moment.

    Attributes:
        delivery: what it works on.
        since: when it began, in seconds of the event loop's clock.
        began: when it began, UTC.
        scope: cancels it.
        loop_task: identifies the event loop's task that runs it.
        interrupt: why it was cancelled by us, if it was.
        deadline: when its time is up, in seconds of the event loop's clock.
        took: how many seconds it took, once it has ended.
        forsaken: whether its outcome no longer counts, because the task was given back.
        notes: what it notes of itself, if its handler has a context.
    """

    delivery: Delivery
    since: float
    began: datetime
    scope: anyio.CancelScope
    loop_task: int
    interrupt: Interrupt | None = None
    forsaken: bool = False
    took: float = 0.0
    deadline: float = inf
    notes: RunNotes | None = None

    def note_saves(self) -> None:
        """Let the run save nothing any more, and note in the delivery what it has saved."""
        if self.notes is None:
            return
        self.notes.close()
        if self.notes.number:
            self.delivery = replace(self.delivery, saved=self.notes.number)

    def cancel(self, why: Interrupt) -> None:
        """Cancel the handler, saying why."""
        self.interrupt = self.interrupt or why
        self.scope.cancel(reason=why.value)


@define(eq=False)
class WorkerState:
    """Counts since the start, and what runs now.

    Attributes:
        slots: how many handlers can run at once.
        put: deliveries that were given to the executors.
        begun: those of them that an executor has picked up.
        busy_seconds: the time that ended handlers took.
        ended: handlers that ended.
        processed: tasks answered.
        failed: tasks answered with a failure.
        released: tasks given back.
        retried: attempts that failed and are followed by another one.
        stale: answers dropped because the task was no longer ours.
        rejected: tasks that became dead letters.
        reclaimed: tasks recovered from dead workers.
        cancelled: tasks dropped because they were cancelled.
        paused: queues from which nothing is to be taken.
        running: by slot.
        threads: names of threads that run a handler, by task id.
        idle: the executors that wait for work.
        recent: what was answered in the last minute.
        instruments: what measures the worker, if anything does.
        listener: who follows the worker, if anybody does.
        tracer: what traces the worker, if anything does.
    """

    slots: int
    put: int = 0
    begun: int = 0
    busy_seconds: float = 0.0
    ended: int = 0
    processed: int = 0
    failed: int = 0
    released: int = 0
    retried: int = 0
    stale: int = 0
    rejected: int = 0
    reclaimed: int = 0
    cancelled: int = 0
    paused: frozenset[str] = frozenset()
    running: dict[int, Running] = field(factory=dict)
    threads: dict[str, str] = field(factory=dict)
    idle: Idle = field(factory=Idle)
    recent: Recent = field(factory=Recent)
    instruments: Instruments | None = None
    listener: Listener | None = None
    tracer: Tracer | None = None
    _turn: anyio.Event | None = None

    @property
    def buffered(self) -> int:
        """Deliveries that wait for an executor."""
        return self.put - self.begun

    def note_end(self, running: Running, now: float) -> None:
        """Note that a handler has ended."""
        running.took = now - running.since
        self.busy_seconds += running.took
        self.ended += 1

    def turned(self) -> None:
        """Wake whoever waits for a change."""
        if self._turn is not None:
            self._turn.set()
            self._turn = None

    async def change(self, within: float) -> None:
        """Wait until a handler has ended, at most `within` seconds."""
        self._turn = self._turn or anyio.Event()
        with anyio.move_on_after(within):
            await self._turn.wait()


@frozen
class RunningTask:
    """A task that runs, for people.

    Attributes:
        task_id: its id.
        task_type: its type.
        queue: where it came from.
        seconds: how long it has run.
    """

    task_id: str
    task_type: str
    queue: str
    seconds: float


@frozen
class Statistics:
    """A snapshot of a worker, for people, the heartbeat and tests.

    Attributes:
        worker_id: its name.
        queues: what it serves.
        slots: how many handlers it can run at once.
        running: the tasks that run now.
        buffered: tasks that it holds and hasn't begun.
        unsettled: tasks whose end the server hasn't confirmed yet.
        processed: tasks answered since the start, failures included.
        failed: tasks answered with a failure, dead letters included.
        rejected: tasks that became dead letters.
        released: tasks given back unrun.
        retried: attempts that failed and are followed by another one.
        stale: answers dropped because the task was no longer ours.
        reclaimed: tasks recovered from dead workers.
        cancelled: tasks dropped because they were cancelled.
        paused: queues from which it takes nothing.
        left_behind: threads that still run a handler that was given up.
        ended: handlers that ended.
        busy_seconds: the time that these took.
    """

    worker_id: str
    queues: tuple[str, ...]
    slots: int
    running: tuple[RunningTask, ...]
    buffered: int
    unsettled: int
    processed: int
    failed: int
    rejected: int
    released: int
    retried: int
    stale: int
    reclaimed: int
    cancelled: int
    paused: frozenset[str]
    left_behind: tuple[str, ...]
    ended: int
    busy_seconds: float
