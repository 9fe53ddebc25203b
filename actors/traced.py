"""A run with a span around it."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from actors.state import Running
from actors.tracing import RunSpan, Tracer
from messages import Delivery, Outcome, Retried

Execute = Callable[[Delivery, Running], Awaitable[Outcome]]


def traced(execute: Execute, tracer: Tracer, worker_id: str) -> Execute:
    """Return a way to run deliveries, each in a span of its own."""

    async def within_span(delivery: Delivery, running: Running) -> Outcome:
        with tracer.run(delivery, running.began, worker_id) as span:
            outcome = _known_later(await execute(delivery, running), span)
            span.ended(outcome)
            return outcome

    return within_span


def _known_later(outcome: Outcome, span: RunSpan) -> Outcome:
    """Let a first attempt that failed be known to those that follow."""
    if not isinstance(outcome, Retried) or outcome.delivery.task.first_run is not None:
        return outcome
    return replace(outcome, delivery=replace(outcome.delivery, first_run=span.traceparent))
