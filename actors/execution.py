"""A run of a handler, as a few named steps.

Find the handler, build the payload, call it under its time-out, write what it returned. Whatever
goes wrong in them is an outcome; only a bug in this module is a crash.
"""

from collections.abc import Mapping
from datetime import timedelta
from math import inf
from threading import current_thread
from typing import assert_never

import anyio
from attrs import field, frozen
from loguru import logger

from actors.broker import Session
from actors.concealment import concealed, hider
from actors.context import Context
from actors.control import Reject, Retry
from actors.deadlines import Deadlines
from actors.failures import Failure, failure_of, shortened_traceback
from actors.handler import Handler
from actors.ledger import Ledger
from actors.notes import Loop, RunNotes
from actors.payloads import InvalidPayloadError, UnknownKeys
from actors.processes import Processes
from actors.retry import decide
from actors.settings import WorkerSettings
from actors.state import Interrupt, Running, WorkerState
from actors.surroundings import Surroundings
from messages import (
    Cancelled,
    Delivery,
    Failed,
    MalformedTaskError,
    Outcome,
    Postponed,
    Reason,
    Rejected,
    Released,
    Retried,
    Run,
    Succeeded,
    UnencodableError,
    decode_payload,
    encode_value,
)


@frozen(eq=False)
class Tools:
    """What all executors of a worker share.

    Attributes:
        handlers: by task type.
        settings: the worker's figures.
        surroundings: the time of day.
        state: what the worker is doing.
        ledger: what it holds.
        session: to know whether the lease is fresh.
        worker_id: for the handlers' context.
        unknown_keys: says once what payloads have too much.
        processes: runs handlers in processes.
        deadlines: ends handlers whose time is up.
        loop: where the session is, for handlers in threads.
        threads: bounds the threads of `def` handlers. It is the executors that bound how many run
            at once; a thread that was given up must not keep a slot from working.
    """

    handlers: Mapping[str, Handler]
    settings: WorkerSettings
    surroundings: Surroundings
    state: WorkerState
    ledger: Ledger
    session: Session
    worker_id: str
    processes: Processes
    deadlines: Deadlines
    loop: Loop = field(factory=Loop)
    unknown_keys: UnknownKeys = field(factory=UnknownKeys)
    threads: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(inf))


@frozen(eq=False)
class _Unrunnable(Exception):  # noqa: N818 - a verdict, caught in this module
    """The task can't be run: why."""

    reason: Reason
    error: str


class Execution:
    """Runs deliveries.

    Args:
        tools: what all executors of a worker share.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._state = tools.state

    async def execute(self, delivery: Delivery, running: Running) -> Outcome:
        """Take the steps of a run and turn whatever comes of them into an outcome."""
        task = delivery.task
        log = self._tools.settings.log_tasks
        try:
            handler = self._find(delivery)
            payload = self._build(handler, delivery)
        except _Unrunnable as verdict:
            return Rejected(delivery, None, verdict.reason, hider(task.payload)(verdict.error))
        if task.not_before is not None and self._tools.surroundings.now() < task.not_before:
            return Postponed(delivery, task.not_before)
        if log:
            logger.bind(task_id=task.id, task_type=task.type, attempt=task.attempt).info(
                "Processing task {}", task.id
            )
        listener = self._state.listener
        if listener is not None:
            listener.began(delivery, running.began)
        limit = task.timeout or handler.timeout or self._tools.settings.timeout
        value, error = await self._call(handler, payload, running, limit)
        self._state.note_end(running, anyio.current_time())
        if running.notes is not None:
            running.note_saves()
        outcome = self._judge(handler, running, value, error, limit)
        if log and not running.forsaken:
            _say(outcome)
        return outcome

    def _find(self, delivery: Delivery) -> Handler:
        """Find the handler of a task that may still be run."""
        task = delivery.task
        handler = self._tools.handlers.get(task.type)
        if handler is None:
            known = ", ".join(sorted(self._tools.handlers)) or "none"
            raise _Unrunnable(
                Reason.UNKNOWN_TYPE,
                f"no handler is registered for task type {task.type!r}; this worker knows {known}",
            )
        if task.expires_at is not None and self._tools.surroundings.now() >= task.expires_at:
            raise _Unrunnable(
                Reason.EXPIRED, f"the task expired at {task.expires_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        return handler

    def _build(self, handler: Handler, delivery: Delivery) -> object:
        """Build the payload that the handler takes."""
        try:
            decoded = decode_payload(delivery.task)
            unknown = handler.read.unknown(decoded)
            if unknown:
                self._tools.unknown_keys.report(handler.task_type, unknown)
            return handler.read(decoded)
        except MalformedTaskError as error:
            raise _Unrunnable(Reason.MALFORMED, str(error)) from None
        except InvalidPayloadError as error:
            raise _Unrunnable(Reason.INVALID_PAYLOAD, str(error)) from None
        except Exception as error:  # noqa: BLE001 - a validator of the user's class may raise anything
            text = f"the payload doesn't fit: {type(error).__name__}: {error}"
            raise _Unrunnable(Reason.INVALID_PAYLOAD, text) from None

    async def _call(
        self, handler: Handler, payload: object, running: Running, limit: float
    ) -> tuple[object, BaseException | None]:
        """Call the handler under its time-out; return its value, or what it raised.

        A cancellation that comes from outside the handler's own scope passes through. One that
        the handler made up (it awaited something that was cancelled) is a failure like others.
        """
        scope = running.scope
        self._tools.deadlines.set(running, running.since + limit)
        task = running.delivery.task
        with scope:
            try:
                if not (handler.takes_context or handler.threaded or handler.in_process):
                    return await handler.function(payload), None
                context = self._context(running, limit)
                if (task.saved or task.deaths) and handler.takes_context:
                    await self._recall(running, limit)
                if handler.in_process:
                    body, tracer = bytes(task.payload), self._state.tracer
                    trace = {} if tracer is None else tracer.here()
                    return await self._tools.processes.call(handler, body, context, trace), None
                if handler.threaded:
                    return await self._call_in_thread(handler, payload, context), None
                return await handler.function(payload, context), None
            except BaseException as error:
                if _passes(error, scope):
                    raise
                return None, error
        return None, None

    async def _recall(self, running: Running, limit: float) -> None:
        """Read what an earlier run has saved; the time of this one begins when it has that."""
        deadlines = self._tools.deadlines
        deadlines.set(running, inf)
        if running.notes is not None:
            await running.notes.read()
        deadlines.set(running, anyio.current_time() + limit)

    async def _call_in_thread(self, handler: Handler, payload: object, context: Context) -> object:
        """Call a `def` handler in a thread, which is given up if the task is cancelled."""
        threads = self._state.threads

        def call() -> object:
            threads[context.task_id] = current_thread().name
            try:
                return handler.function(*handler.arguments(payload, context))
            finally:
                threads.pop(context.task_id, None)

        try:
            return await anyio.to_thread.run_sync(
                call, abandon_on_cancel=True, limiter=self._tools.threads
            )
        except anyio.get_cancelled_exc_class():
            if (thread := threads.get(context.task_id)) is not None:
                logger.bind(task_id=context.task_id, task_type=context.task_type).warning(
                    "Task {} is given up; thread {} still runs its handler", context.task_id, thread
                )
            raise

    def _context(self, running: Running, limit: float) -> Context:
        delivery = running.delivery
        running.notes = notes = RunNotes(
            delivery=delivery, session=self._tools.session, loop=self._tools.loop
        )
        return Context(
            notes=notes,
            task_id=delivery.task.id,
            task_type=delivery.task.type,
            queue=delivery.queue,
            worker_id=self._tools.worker_id,
            attempt=delivery.task.attempt,
            deadline=running.began + timedelta(seconds=limit),
        )

    def _judge(  # noqa: PLR0911 - all that a verdict depends on
        self,
        handler: Handler,
        running: Running,
        value: object,
        error: BaseException | None,
        limit: float,
    ) -> Outcome:
        """Say what became of a run."""
        delivery = running.delivery
        waited = running.began - delivery.task.created_at
        run = Run(running.began, running.took, waited.total_seconds())
        cut_short = running.scope.cancel_called and error is not None
        if isinstance(error, Reject):
            why = hider(delivery.task.payload)(str(error.why))
            return Rejected(delivery, run, Reason.REJECTED, why)
        if running.scope.cancelled_caught or cut_short:
            match running.interrupt:
                case Interrupt.CANCELLED:
                    return Cancelled(delivery)
                case Interrupt.DRAIN | Interrupt.LEASE_LOST:
                    return Released(delivery)
                case None:
                    pass
                case _:
                    assert_never(running.interrupt)
            why = f"the handler ran for longer than its time-out of {limit:g} s"
            return self._failed(handler, delivery, run, Failure(why, "TimeoutError", cut=error))
        if error is not None:
            return self._failed(handler, delivery, run, failure_of(error))
        if handler.in_process and isinstance(value, bytes):
            # It was written, and measured, where the handler ran.
            return Succeeded(delivery, run, value)
        try:
            body = encode_value(value)
        except UnencodableError as unencodable:
            kind = type(unencodable).__name__
            return self._failed(handler, delivery, run, Failure(str(unencodable), kind))
        most = self._tools.settings.max_result_bytes
        if len(body) > most:
            why = f"the handler's result has {len(body)} bytes, the most is {most}"
            return self._failed(handler, delivery, run, Failure(why, "ResultTooLarge"))
        return Succeeded(delivery, run, body)

    def _failed(
        self, handler: Handler, delivery: Delivery, run: Run, failure: Failure
    ) -> Retried | Failed:
        """Decide whether an attempt that failed was the last, and log it."""
        task, raised = delivery.task, failure.raised
        hide = hider(task.payload)
        error = hide(failure.error)
        decision = decide(task, handler, raised, self._tools.surroundings.draw())
        what = f"Task {task.id} failed (attempt {task.attempt} of {decision.attempts}"
        what += ")" if decision.after is None else f", the next is due in {decision.after:.3g} s)"
        # A `Retry` is a wish, in words; where it was raised tells nobody anything.
        logger.bind(task_id=task.id, task_type=task.type, attempt=task.attempt).opt(
            exception=None
            if raised is None or isinstance(raised, Retry)
            else concealed(raised, hide)
        ).warning("{}: {}: {}", what, failure.error_type, error)
        if decision.after is None:
            trace = shortened_traceback(failure, hide)
            return Failed(delivery, run, error, failure.error_type, trace)
        return Retried(delivery, run, error, failure.error_type, decision.after)


def _passes(error: BaseException, scope: anyio.CancelScope) -> bool:
    """Say whether what a handler raised isn't its own: a cancellation, or the program's end."""
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, cancelled):
        return scope.cancel_called or anyio.current_effective_deadline() == -inf
    if isinstance(error, BaseExceptionGroup) and not scope.cancel_called:
        # On trio a task group of the handler's raises cancellations beside its errors. Where it
        # was our scope that cancelled them, they have arrived, and the errors are the handler's.
        tree_ends = anyio.current_effective_deadline() == -inf
        return tree_ends and error.subgroup(cancelled) is not None
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def _say(outcome: Outcome) -> None:
    """Log how a task ended."""
    task = outcome.delivery.task if isinstance(outcome.delivery, Delivery) else None
    if task is None:
        return
    bound = logger.bind(task_id=task.id, task_type=task.type, attempt=task.attempt)
    match outcome:
        case Succeeded():
            bound.info("Task {} completed in {:.1f} ms", task.id, outcome.run.duration * 1000)
        case Failed():
            bound.info("Task {} ended with a failure: {}", task.id, outcome.error)
        case Retried():
            bound.info("Task {} will be tried again", task.id)
        case Postponed():
            bound.info("Task {} waits for its time, {}", task.id, outcome.until)
        case Rejected():
            bound.info("Task {} was rejected: {}", task.id, outcome.error)
        case Released():
            bound.info("Task {} is given back", task.id)
        case Cancelled():
            bound.info("Task {} was cancelled, its handler is ended", task.id)
        case _:
            assert_never(outcome)
