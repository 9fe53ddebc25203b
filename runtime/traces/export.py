"""From the spans of this process to whoever collects them, by OTLP over HTTP.

Spans are sent in batches from a thread of their own; a collector that is slow or away costs spans,
never a task. How many are kept, how they are sampled, with which headers they are sent: that is
said by OpenTelemetry's own environment variables.
"""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from threading import Thread
from typing import Final

import anyio
from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from runtime.errors import ConfigurationError
from runtime.traces.concealment import Concealing
from runtime.traces.sampling import OfTasks
from runtime.traces.sender import Sender
from runtime.traces.worker import WorkerTracer

_LAST_SPANS: Final = 3.0
"""Seconds for the last spans to be sent, at the end."""


class Traces:
    """What a process traces with, from now on; what it calls with httpx and SQLAlchemy, too.

    There is one at most in a process: its provider is the process's.

    Args:
        url: where spans are sent.
        service: what the process is, unless `OTEL_SERVICE_NAME` says otherwise.
        instance: which of its kind.
        secrets: what no span may hold, the longest first.

    Raises:
        ConfigurationError: one of OpenTelemetry's environment variables can't be read.
    """

    def __init__(
        self, url: str, *, service: str, instance: str = "", secrets: Sequence[str] = ()
    ) -> None:
        try:
            sender = Sender(url)
        except (ValueError, OSError) as error:
            raise ConfigurationError(
                "one of OTEL_EXPORTER_OTLP_*", f"not readable ({error})", "what OpenTelemetry takes"
            ) from None
        self._provider = TracerProvider(
            resource=_resource(service, instance), shutdown_on_exit=False
        )
        self._provider.sampler = OfTasks(self._provider.sampler)
        self._provider.add_span_processor(Concealing(BatchSpanProcessor(sender), secrets))
        self.tracer = WorkerTracer(self._provider)
        trace.set_tracer_provider(self._provider)
        _instrument(self._provider)

    async def aclose(self) -> None:
        """Send what is left; cancelled, or after three seconds, it leaves that to its thread."""
        await anyio.to_thread.run_sync(self.close, abandon_on_cancel=True)

    def close(self) -> None:
        """Send what is left, for three seconds at most."""
        thread = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        thread.start()
        thread.join(_LAST_SPANS)


def _resource(service: str, instance: str) -> Resource:
    ours = {"service.name": service, "service.version": version("brain-worker-pool")}
    if instance:
        ours["service.instance.id"] = instance
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _instrument(provider: TracerProvider) -> None:
    """Let calls with these libraries be spans, wherever a handler makes them."""
    if find_spec("httpx") is not None:
        from opentelemetry.instrumentation.httpx import (  # noqa: PLC0415 - it may not be there
            HTTPXClientInstrumentor,
        )

        HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    if find_spec("sqlalchemy") is not None:
        from opentelemetry.instrumentation.sqlalchemy import (  # noqa: PLC0415 - likewise
            SQLAlchemyInstrumentor,
        )

        # It says that it is for versions below 2.1. Our tests see to it that it works with ours.
        SQLAlchemyInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
