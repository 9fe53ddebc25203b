"""The spans of a worker: a task's wait in the queue, and its run.

What the handler calls within a run belongs to it: the run's span is the current one there.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from messages import (
    Cancelled,
    Delivery,
    Failed,
    Outcome,
    Postponed,
    Rejected,
    Released,
    Retried,
    Succeeded,
    Task,
)
from runtime.traces import names
from runtime.traces.current import current_ids
from runtime.traces.run_secrets import with_secrets

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_propagator: Final = TraceContextTextMapPropagator()

_REMEMBERED: Final = 1_000
"""Runs whose traces are remembered, for lines of the log that come when they have ended."""


class Run:
    """The span of one run.

    Attributes:
        happened: whether there was a run; a task that came before its time makes no span.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self.happened = True

    @property
    def traceparent(self) -> str | None:
        """Its context in W3C form, for the task's later attempts."""
        found: dict[str, str] = {}
        _propagator.inject(found, set_span_in_context(self._span, Context()))
        return found.get("traceparent")

    def ended(self, outcome: Outcome) -> None:
        """Say in the span what became of the run."""
        match outcome:
            case Succeeded():
                self._say("succeeded")
            case Retried(error=error, error_type=error_type):
                self._say("retried", error_type, error)
            case Failed(error=error, error_type=error_type, traceback=traceback):
                self._say("failed", error_type, error, traceback)
            case Rejected(reason=reason, error=error):
                self._say("rejected", reason.value, error)
            case Released():
                self._say("released")
            case Cancelled():
                self._say("cancelled")
            case Postponed():
                self.happened = False
            case _:
                assert_never(outcome)

    def _say(
        self, outcome: str, error_type: str = "", error: str = "", traceback: str = ""
    ) -> None:
        span = self._span
        span.set_attribute(names.OUTCOME, outcome)
        if not error_type:
            return
        span.set_attribute(names.ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR, error))
        what = {"exception.type": error_type, "exception.message": error}
        span.add_event(
            "exception", what | ({"exception.stacktrace": traceback} if traceback else {})
        )


class WorkerTracer:
    """Makes the spans of a worker.

    Args:
        provider: where they come from.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("brain-worker-pool")
        # (id, attempt) → trace, of ended runs with which a trace began: their tasks carry none.
        self._begun: dict[tuple[str, int], int] = {}

    @contextmanager
    def run(self, delivery: Delivery, began: datetime, worker_id: str) -> Iterator[Run]:
        """Return the span of a run, the current one within; its wait is told beside it.

        A wait lasts from when the producer made the task, or its last attempt failed, by the
        clocks of the machines that wrote that, until the run begins.

        Args:
            delivery: the task.
            began: when the run began, UTC.
            worker_id: who runs it.
        """
        task, queue, now = delivery.task, delivery.queue, _nanoseconds(began)
        first = _context(task.first_run)
        parent = _context(task.traceparent, task.tracestate) or first
        # A trace that no producer has begun begins here, not with what goes on around the worker.
        around = _around(parent)
        attributes = _of_task(task) | names.of_queue(queue, "process")
        span = self._tracer.start_span(
            f"process {queue}",
            context=around,
            kind=SpanKind.CONSUMER,
            attributes=attributes
            | {
                names.OPERATION_TYPE: "process",
                names.CLIENT: worker_id,
                names.BODY_SIZE: len(delivery.raw),
            },
            links=[Link(first, {names.ATTEMPT: 1})] if first is not None else None,
            start_time=now,
        )
        within = set_span_in_context(span, around)
        run, token = Run(span), attach(with_secrets(task.payload, within))
        try:
            yield run
        finally:
            if run.happened:
                self._tell_wait(task, queue, now, within if parent is None else around)
                # Within its context: a handler may have said something in the run's own span.
                span.end()
            detach(token)
            if parent is None:
                self._remember(task, span)

    def named(self, delivery: Delivery) -> Mapping[str, str]:
        """Return the id of the trace that a task carries, or that began with its run here."""
        task = delivery.task
        carried = _context(task.traceparent, task.tracestate) or _context(task.first_run)
        if carried is not None:
            return {"trace_id": format_trace_id(carried.trace_id)}
        begun = self._begun.get((task.id, task.attempt))
        return {} if begun is None else {"trace_id": format_trace_id(begun)}

    def here(self) -> Mapping[str, str]:
        """Return the ids of the span that is current, and of its trace."""
        return current_ids()

    def _remember(self, task: Task, span: Span) -> None:
        begun = self._begun
        begun[task.id, task.attempt] = span.get_span_context().trace_id
        if len(begun) > _REMEMBERED:
            del begun[next(iter(begun))]

    def _tell_wait(self, task: Task, queue: str, until: int, parent: Context) -> None:
        since = task.errors[-1].time if task.errors else None
        start = min(_nanoseconds(since or task.created_at), until)
        attributes = _of_task(task) | names.of_queue(queue, "wait")
        span = self._tracer.start_span(
            f"wait {queue}", context=parent, attributes=attributes, start_time=start
        )
        span.end(until)


def _of_task(task: Task) -> dict[str, str | int]:
    return {names.MESSAGE_ID: task.id, names.TASK_TYPE: task.type, names.ATTEMPT: task.attempt}


def _context(traceparent: str | None, tracestate: str | None = None) -> SpanContext | None:
    """Read what a task carries; what can't be read is as good as nothing."""
    if traceparent is None:
        return None
    carried = {"traceparent": traceparent} | ({"tracestate": tracestate} if tracestate else {})
    found = get_current_span(_propagator.extract(carried, Context())).get_span_context()
    return found if found.is_valid else None


def _around(parent: SpanContext | None) -> Context:
    if parent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _nanoseconds(time: datetime) -> int:
    """Return a time as OpenTelemetry counts it; times before the epoch are none there."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return max(0, (aware - _EPOCH) // timedelta(microseconds=1)) * 1000
