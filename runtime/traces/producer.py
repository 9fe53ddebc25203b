"""The span of a push, in a process that traces.

A producer needs no setting of ours: in a service that has set OpenTelemetry up, pushes are traced
with its own provider. In all others this costs a look or two, and loads nothing.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from runtime.traces import names
from runtime.traces.carrier import NO_CARRIER, Carrier
from runtime.traces.current import tracing_api

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span


class Sending:
    """A push that is under way; as it stands here, one that isn't traced.

    Attributes:
        carrier: what the tasks are to carry.
    """

    carrier: Carrier = NO_CARRIER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def tell(self, task_id: str, task_type: str, size: int) -> None:
        """Say which task is pushed, if it is one."""

    def tell_batch(self, count: int) -> None:
        """Say how many tasks are pushed."""


class _TracedSending(Sending):
    def __init__(self, current: "AbstractContextManager[Span]") -> None:
        self._current = current

    def __enter__(self) -> Self:
        self._span = self._current.__enter__()
        self.carrier = _carrier()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._current.__exit__(kind, error, traceback)

    def tell(self, task_id: str, task_type: str, size: int) -> None:
        self._span.set_attributes(
            {names.MESSAGE_ID: task_id, names.TASK_TYPE: task_type, names.BODY_SIZE: size}
        )

    def tell_batch(self, count: int) -> None:
        self._span.set_attribute(names.BATCH, count)


_UNTRACED: Final = Sending()


def sending(queue: str) -> Sending:
    """Return the span of a push, to be entered; what is raised within is its error.

    Args:
        queue: where the tasks go.
    """
    api = tracing_api()
    if api is None:
        return _UNTRACED
    attributes = names.of_queue(queue, "send") | {names.OPERATION_TYPE: "send"}
    return _TracedSending(
        api.get_tracer("brain-worker-pool").start_as_current_span(
            f"send {queue}", kind=api.SpanKind.PRODUCER, attributes=attributes
        )
    )


def _carrier() -> Carrier:
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - see above
        TraceContextTextMapPropagator,
    )

    found: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(found)
    return Carrier(found.get("traceparent"), found.get("tracestate"))
