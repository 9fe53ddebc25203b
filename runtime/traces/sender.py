"""Sends spans, and doesn't say again and again that nobody takes them."""

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class _Sparse(logging.Filter):
    """Lets the 1st, 2nd, 4th, 8th … line through."""

    count = 0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's
        self.count += 1
        return self.count & (self.count - 1) == 0


class Sender(SpanExporter):
    """Sends spans by OTLP over HTTP.

    The library logs each failed try, every second or so while a collector is away. Here it is
    said for the 1st, 2nd, 4th, 8th … failure since spans were last taken.

    Args:
        url: where they go.
    """

    def __init__(self, url: str) -> None:
        self._exporter = OTLPSpanExporter(url)
        self._sparse = _Sparse()
        logging.getLogger(trace_exporter.__name__).addFilter(self._sparse)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called from a thread of their own."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._sparse.count = 0
        return result

    def shutdown(self) -> None:
        """Send nothing more, and give up what is being tried."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: spans are sent when they are given."""
        return self._exporter.force_flush(timeout_millis)
