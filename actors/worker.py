"""A worker: its life from joining the broker to the end of its drain.

The tree of actors that it runs is wired in `actors.tree`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import anyio
from anyio.abc import TaskStatus
from attrs import frozen
from loguru import logger

from actors.broker import Broker, Member, Session
from actors.death_watch import Timing
from actors.handler import Handler
from actors.instruments import Instruments
from actors.ledger import Ledger
from actors.listener import Listener
from actors.scheduler import recurring_on
from actors.settings import WorkerSettings
from actors.state import RunningTask, Statistics, WorkerState
from actors.stop_request import StopRequest
from actors.surroundings import Surroundings
from actors.tracing import Tracer
from actors.tree import Parts, run_tree
from actors.usage import Usage
from messages import Heartbeat, MalformedTaskError, decode_task


class WorkerError(RuntimeError):
    """A worker that was put together or used wrongly."""


@frozen(kw_only=True)
class Identity:
    """Who a worker is, for people.

    Attributes:
        host: the machine's name.
        pid: the process.
        version: of the software.
        usage: measures what the process takes of its machine, for each heartbeat.
    """

    host: str = ""
    pid: int = 0
    version: str = ""
    usage: Callable[[], Usage] = Usage


class Worker:
    """Takes tasks, runs their handlers and answers, until it is stopped.

    Args:
        broker: the queue server.
        handlers: which function runs which type.
        queues: what to serve; by default what the handlers name.
        concurrency: how many handlers run at once.
        worker_id: its name; by default a random one.
        settings: its figures.
        timing: when another worker counts as dead.
        surroundings: wall clock and randomness.
        identity: what the heartbeat says of the process.
        instruments: what measures it.
        listener: who follows it.
        tracer: what traces its runs.
        on_stuck: called after all is settled when a handler can't be cancelled and so the worker
            can't return; gets the ids of such tasks. A process ends itself here.

    Raises:
        WorkerError: no queue, a text instead of a list of queues, or a concurrency below 1.
        HandlerError: a recurring task can't be fired or run here; names it.
    """

    def __init__(  # noqa: PLR0913 - what a host may choose, all but three by keyword with a default
        self,
        broker: Broker,
        handlers: Mapping[str, Handler],
        queues: Iterable[str] | None = None,
        *,
        concurrency: int = 2,
        worker_id: str | None = None,
        settings: WorkerSettings | None = None,
        timing: Timing | None = None,
        surroundings: Surroundings | None = None,
        identity: Identity | None = None,
        instruments: Instruments | None = None,
        listener: Listener | None = None,
        tracer: Tracer | None = None,
        on_stuck: Callable[[tuple[str, ...]], None] | None = None,
    ) -> None:
        named = (handler.queue for handler in handlers.values() if handler.queue)
        if isinstance(queues, str):
            raise WorkerError(f"queues is the text {queues!r}, expected a list of queues")
        self._queues = tuple(dict.fromkeys(named if queues is None else queues))
        if not self._queues:
            raise WorkerError("queues is empty, and no handler names one; say which to serve")
        if concurrency < 1:
            raise WorkerError(f"concurrency is {concurrency}, expected a number from 1 on")
        self._broker = broker
        self._handlers = handlers
        self._slots = concurrency
        self._settings = settings or WorkerSettings()
        self._recurring = recurring_on(handlers, self._queues, self._settings.max_task_bytes)
        self._timing = timing or Timing()
        self._surroundings = surroundings or Surroundings()
        self._identity = identity or Identity()
        self._on_stuck = on_stuck
        self.worker_id = worker_id or f"worker-{self._surroundings.token()}"
        self._holder = f"{self.worker_id}#{self._surroundings.token()}"
        self._state = WorkerState(
            concurrency, instruments=instruments, listener=listener, tracer=tracer
        )
        self._ledger = Ledger(self._queues)
        self._stop = StopRequest()
        self._ended: anyio.Event | None = None

    def __repr__(self) -> str:
        return f"Worker({self.worker_id!r}, {', '.join(self._queues)}, {self._slots} slots)"

    def statistics(self) -> Statistics:
        """Return a snapshot of what the worker does and has done."""
        state = self._state
        # What was given back on a stuck handler's behalf is struck from the ledger already.
        begun = sum(not running.forsaken for running in state.running.values())
        return Statistics(
            worker_id=self.worker_id,
            queues=self._queues,
            slots=self._slots,
            running=self._running(),
            buffered=state.buffered,
            unsettled=len(self._ledger) - begun - state.buffered,
            processed=state.processed,
            failed=state.failed,
            rejected=state.rejected,
            released=state.released,
            retried=state.retried,
            stale=state.stale,
            reclaimed=state.reclaimed,
            cancelled=state.cancelled,
            paused=state.paused,
            left_behind=tuple(state.threads.values()),
            ended=state.ended,
            busy_seconds=state.busy_seconds,
        )

    def _running(self) -> tuple[RunningTask, ...]:
        if not self._state.running:
            return ()
        now = anyio.current_time()
        return tuple(
            RunningTask(
                running.delivery.task.id,
                running.delivery.task.type,
                running.delivery.queue,
                now - running.since,
            )
            for running in self._state.running.values()
        )

    def request_stop(self, grace: float | None = None) -> None:
        """Ask the worker to drain, without waiting for it.

        Args:
            grace: seconds that running handlers may go on; by default the settings'. A later
                request can only shorten it.
        """
        self._stop.request(self._settings.grace if grace is None else grace)

    def hurry(self) -> None:
        """Ask the worker to drain with the short grace: a second signal, or a cancelled host."""
        self._stop.request_soon(self._settings.cancel_grace)

    async def stop(self, grace: float | None = None) -> None:
        """Drain, and return when the worker has ended; one that is run later ends at once.

        A cancellation stops the waiting, not the drain.

        Args:
            grace: seconds that running handlers may go on; by default the settings'.
        """
        self.request_stop(grace)
        if self._ended is not None:
            await self._ended.wait()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until stopped; `task_status.started()` is called when the worker takes tasks.

        A cancellation drains with the short grace: running handlers that end within it are
        answered, all others are given back to the head of their queue.

        Raises:
            BrokerError: the server can't be joined.
            WorkerError: the worker was run before.
            Exception: an actor crashed, which is a bug; what was held is redelivered.
        """
        if self._ended is not None:
            raise WorkerError(f"worker {self.worker_id} was run before; make a new one")
        self._ended = anyio.Event()
        try:
            async with anyio.create_task_group() as host:
                host.start_soon(self._shielded, self._ended, task_status)
                try:
                    await self._ended.wait()
                except anyio.get_cancelled_exc_class():
                    self.hurry()
                    raise
        except BaseExceptionGroup as group:
            raise _sole(group) from None
        finally:
            self._ended.set()

    async def _shielded(self, ended: anyio.Event, task_status: TaskStatus[None]) -> None:
        """Keep a cancellation of the host from the actors: it reaches them as a drain."""
        with anyio.CancelScope(shield=True):
            try:
                await self._joined(task_status)
            finally:
                ended.set()

    async def _joined(self, task_status: TaskStatus[None]) -> None:
        member = Member(self.worker_id, self._holder, self._slots, self._queues, self._loop_tasks)
        async with anyio.create_task_group() as slots:
            with anyio.CancelScope() as joining:
                self._stop.abandon_if_requested(joining)
                async with self._broker.join(member) as session:
                    self._stop.abandon_if_requested(None)
                    task_status.started()
                    listener = self._state.listener
                    if listener is not None:
                        listener.joined(self._queues, self._slots)
                    await run_tree(self._parts(session), slots)
                    if listener is not None:
                        found = self.statistics()
                        listener.left(found.processed, found.failed, found.unsettled)
            self._report_unsettled()
            if self._state.running:
                self._report_stuck()

    def _loop_tasks(self) -> dict[int, str]:
        return {
            running.loop_task: running.delivery.task.id
            for running in list(self._state.running.values())
        }

    def _parts(self, session: Session) -> Parts:
        started = self._surroundings.now()
        return Parts(
            worker_id=self.worker_id,
            queues=self._queues,
            handlers=self._handlers,
            # A burst is there to empty queues.
            recurring={} if self._settings.burst else self._recurring,
            settings=self._settings,
            timing=self._timing,
            surroundings=self._surroundings,
            session=session,
            state=self._state,
            ledger=self._ledger,
            stop=self._stop,
            compose=lambda: self._heartbeat(started),
        )

    def _heartbeat(self, started: datetime) -> Heartbeat:
        state = self._state
        usage = self._identity.usage()
        return Heartbeat(
            worker_id=self.worker_id,
            timestamp=self._surroundings.now(),
            tasks_processed=state.processed,
            tasks_failed=state.failed,
            active_tasks=len(state.running),
            started_at=started,
            holder=self._holder,
            slots=self._slots,
            queues=self._queues,
            host=self._identity.host,
            pid=self._identity.pid,
            version=self._identity.version,
            running=tuple(
                {"id": task.task_id, "type": task.task_type, "seconds": round(task.seconds, 3)}
                for task in self._running()
            ),
            cpu_percent=usage.cpu_percent,
            memory_bytes=usage.memory_bytes,
            memory_percent=usage.memory_percent,
            last_minute=state.recent.answered(anyio.current_time()),
        )

    def _report_unsettled(self) -> None:
        left = self._ledger.bodies()
        if left:
            logger.error(
                "{} tasks could not be settled and come back when the lease lapses: {}",
                len(left),
                _names(left),
            )
        for task_id, thread in self._state.threads.items():
            logger.warning("Thread {} still runs the handler of task {}", thread, task_id)

    def _report_stuck(self) -> None:
        stuck = tuple(task.task_id for task in self._running())
        logger.error("These handlers can't be cancelled: {}", ", ".join(stuck))
        if self._on_stuck is not None:
            self._on_stuck(stuck)


_NAMED: Final = 500
"""Tasks that the worker's last words name at most."""


def _names(raws: Sequence[bytes]) -> str:
    named = ", ".join(_name(raw) for raw in raws[:_NAMED])
    more = len(raws) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _name(raw: bytes) -> str:
    try:
        return decode_task(raw).id
    except MalformedTaskError:
        return "(a body without an id)"


def _sole(error: BaseException) -> BaseException:
    """Unwrap groups of one: whoever runs a worker wants the error, not the shape of the tree."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
