"""A receiver of traces that speaks OTLP over HTTP, in protobuf, on a real socket."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from attrs import define, field, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.polling import eventually

KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")


@frozen
class Received:
    """A span as it came over the wire.

    Attributes:
        name: its name.
        kind: `internal`, `client`, `producer` or `consumer`.
        trace_id: of its trace, in hexadecimal digits, as are the other ids.
        span_id: its own.
        parent: its parent's; empty for a root.
        links: ids of the spans that it links to.
        start: nanoseconds since the epoch.
        end: likewise.
        error: the status's message, if it is an error; else None.
        service: whose span it is.
        attributes: what is said of it.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    links: tuple[str, ...]
    start: int
    end: int
    error: str | None
    service: str
    attributes: dict[str, Any]

    @property
    def attempt(self) -> int | None:
        return self.attributes.get("brain.task.attempt")


@define(eq=False)
class Receiver:
    """What a collector has received.

    Attributes:
        url: where it listens.
        refuses: answer each request with an error that forbids to try again.
        spans: what came, in the order in which it came.
        paths: where it was sent to.
        bodies: the very bytes.
    """

    url: str
    refuses: bool = False
    spans: list[Received] = field(factory=list)
    paths: list[str] = field(factory=list)
    bodies: list[bytes] = field(factory=list)

    def of_task(self, task_id: str) -> list[Received]:
        """Return the spans of the traces that a task is in, by their start."""
        traces = {
            span.trace_id
            for span in list(self.spans)
            if span.attributes.get("messaging.message.id") == task_id
        }
        found = [span for span in list(self.spans) if span.trace_id in traces]
        return sorted(found, key=lambda span: span.start)

    def named(self, word: str) -> list[Received]:
        """Return the spans whose names begin with a word."""
        return [span for span in list(self.spans) if span.name.split()[0] == word]

    def waits_for(self, word: str, count: int = 1) -> list[Received]:
        """Wait until so many spans have come whose names begin with a word."""
        eventually(lambda: len(self.named(word)) >= count, what=f"{count} spans {word}")
        return self.named(word)


def tree(spans: Sequence[Received]) -> str:
    """Draw spans under their parents, in the order of their starts."""
    known = {span.span_id for span in spans}
    lines: list[str] = []

    def draw(span: Received, depth: int) -> None:
        took = (span.end - span.start) / 1e6
        what = f"{'  ' * depth}{span.name}  ({span.kind}, {span.service}, {took:.1f} ms)"
        what += f"  attempt {span.attempt}" if span.attempt else ""
        what += "  linked to the first" if span.links else ""
        lines.append(what + (f"  ERROR {span.error}" if span.error is not None else ""))
        for child in spans:
            if child.parent == span.span_id:
                draw(child, depth + 1)

    for span in spans:
        if span.parent not in known:
            draw(span, 0)
    return "\n".join(lines)


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """Run a receiver on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            request.ParseFromString(sent)
            receiver.bodies.append(sent)
            receiver.paths.append(self.path)
            receiver.spans.extend(_read(request))
            body = ExportTraceServiceResponse().SerializeToString()
            self.send_response(400 if receiver.refuses else 200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _read(request: ExportTraceServiceRequest) -> Iterator[Received]:
    for resource in request.resource_spans:
        service = str(_plain(resource.resource.attributes).get("service.name"))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _received(span, service)


def _received(span: trace_pb2.Span, service: str) -> Received:
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Received(
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.message if failed else None,
        service=service,
        attributes=_plain(span.attributes),
    )


def _plain(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
