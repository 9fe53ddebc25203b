import json
from typing import Any

import pytest
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    format_trace_id,
    use_span,
)

from runtime import TaskQueue
from tests.cli.commands import Queue

pytestmark = pytest.mark.anyio
WITHIN = SpanContext(
    trace_id=0x0AF7651916CD43DD8448EB211C80319C,
    span_id=0xB7AD6B7169203331,
    is_remote=False,
    trace_flags=TraceFlags(TraceFlags.SAMPLED),
    trace_state=TraceState([("vendor", "1")]),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def queued(url: str) -> list[dict[str, Any]]:
    """Return all tasks that wait, the delayed ones among them."""
    with Queue(url) as queue:
        delayed = queue.client.zrange(f"{{{queue.name}}}:delayed", 0, -1)
        return [json.loads(body) for body in (*queue.bodies(), *delayed)]


async def test_a_push_within_a_span_carries_its_trace(redis_url: str) -> None:
    """In a service that traces, each way to push puts the current trace into the task."""
    async with TaskQueue(redis_url) as queue:
        with use_span(NonRecordingSpan(WITHIN)):
            await queue.push_task("a", {})
            await queue.push_task("b", {}, delay=60)
            await queue.push_task("c", {}, task_id="c", unique_for=60)
            await queue.push_many([("d", {}), ("e", {})])
    found = {body["type"]: body for body in queued(redis_url)}
    assert sorted(found) == ["a", "b", "c", "d", "e"]
    for body in found.values():
        version, trace_id, _, flags = body["traceparent"].split("-")
        assert (version, trace_id, flags) == ("00", format_trace_id(WITHIN.trace_id), "01")
        assert body["tracestate"] == "vendor=1"


async def test_a_push_outside_of_spans_adds_nothing(redis_url: str) -> None:
    """A task that is pushed within no span has the contract's four fields, and no other."""
    async with TaskQueue(redis_url) as queue:
        await queue.push_task("a", {})
    (body,) = queued(redis_url)
    assert set(body) == {"id", "type", "payload", "created_at"}
