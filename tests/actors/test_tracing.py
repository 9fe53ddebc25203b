from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import anyio
import pytest
from attrs import define, field
from loguru import logger
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_trace_id, get_current_span

from actors import Backoff, Context, Handlers, Reject, Worker, current_task, name_task
from messages import Delivery, Outcome, Retried, Succeeded, decode_task
from runtime.memory import MemoryBroker
from runtime.traces.worker import WorkerTracer
from tests.actors.stage import Q, Stage, body, until

pytestmark = pytest.mark.anyio
FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@define(eq=False)
class Recorder:
    """A tracer that writes down what it is told."""

    began: list[tuple[int, str | None]] = field(factory=list)
    outcomes: list[Outcome | None] = field(factory=list)
    traceparent: str | None = FIRST

    @contextmanager
    def run(self, delivery: Delivery, began: datetime, worker_id: str) -> Iterator["Recorder"]:
        assert began.tzinfo is not None
        assert worker_id == "w"
        self.began.append((delivery.task.attempt, delivery.task.first_run))
        self.outcomes.append(None)
        yield self

    def ended(self, outcome: Outcome) -> None:
        self.outcomes[-1] = outcome

    def named(self, delivery: Delivery) -> dict[str, str]:  # noqa: ARG002 - a tracer's
        return {}

    def here(self) -> dict[str, str]:
        return {}


async def test_a_retry_knows_its_first_run() -> None:
    """Each run has a span that hears its outcome; later attempts carry the first one's context.

    What the producer wrote beside it keeps its bytes (I8).
    """
    handlers, seen = Handlers(queue="q"), []

    @handlers.on("flaky", retry=Backoff(attempts=3, base=0.001))
    async def flaky(payload: dict[str, str]) -> None:  # noqa: ARG001 - a handler has one
        task = current_task.get()
        assert task is not None
        seen.append((task.id, task.type, task.attempt))
        if task.attempt < 3:
            raise ValueError("again")

    recorder, broker = Recorder(), MemoryBroker()
    async with anyio.create_task_group() as service:
        worker = Worker(broker, handlers, worker_id="w", tracer=recorder)
        await service.start(worker.run)
        task_id = await broker.push("q", "flaky", {"a": "1"})
        await broker.answer(task_id)
        await worker.stop()
    assert seen == [(task_id, "flaky", attempt) for attempt in (1, 2, 3)]
    assert recorder.began == [(1, None), (2, FIRST), (3, FIRST)]
    assert [type(outcome) for outcome in recorder.outcomes] == [Retried, Retried, Succeeded]
    last = recorder.outcomes[-1]
    assert isinstance(last, Succeeded)
    assert b'"payload":{"a":"1"}' in last.delivery.raw
    assert decode_task(last.delivery.raw).traceparent is None


@pytest.mark.virtual
async def test_lines_about_ended_runs_say_their_trace(stage: Stage) -> None:
    """A stale answer and a dead letter are told with the trace of the task.

    It is the one that the task carries, else the one that began with its run here.
    """
    traces: dict[str, str] = {}
    lines: list[dict[str, str]] = []

    @stage.handlers.on("break")
    async def breaks(payload: dict[str, str], context: Context) -> None:
        traces[context.task_id] = format_trace_id(get_current_span().get_span_context().trace_id)
        raise Reject(payload)

    @stage.handlers.on("late")
    async def late_one(_: dict[str, str], context: Context) -> None:
        trace_id = get_current_span().get_span_context().trace_id
        traces.setdefault(f"late {context.worker_id}", format_trace_id(trace_id))
        stage.started.append(context.worker_id)
        await anyio.sleep(6)
        stage.finished.append(context.worker_id)

    def tracer() -> WorkerTracer:
        return WorkerTracer(TracerProvider(shutdown_on_exit=False))

    sink = logger.add(lambda line: lines.append(line.record["extra"]), level="WARNING")
    network = stage.broker.network("late")
    waiting = stage.memory.store.queue(Q).waiting
    try:
        async with stage.working(worker_id="late", concurrency=1, tracer=tracer()) as late:
            waiting.append(body("carries", "break", traceparent=FIRST))
            waiting.append(body("begins", "break"))
            waiting.append(body("unheard", "of", traceparent=FIRST))
            await stage.push("late")
            await until(lambda: stage.started == ["late"])
            async with stage.working(worker_id="heir", concurrency=1, tracer=tracer()):
                network.freeze()
                await until(lambda: "late" in stage.finished)
                await until(lambda: len(stage.started) == 2)
                network.thaw()
                await until(lambda: late.statistics().stale == 1)
    finally:
        logger.remove(sink)
    told = [(line["task_type"], line["trace_id"]) for line in lines if "task_id" in line]
    carried = FIRST.split("-")[1]
    assert told == [
        *(("break", carried), ("break", traces["begins"]), ("of", carried)),
        ("late", traces["late late"]),
    ]
    assert traces["carries"] == carried
    assert len({carried, *traces.values()}) == 4


async def test_no_task_is_named_outside_a_run() -> None:
    """Lines say their task within a run, bound or not, and none outside of it."""
    handlers, lines = Handlers(queue="q"), []
    sink = logger.add(lambda line: lines.append(line.record), format="{message}", level="INFO")
    logger.configure(patcher=name_task)

    @handlers.on("speak")
    async def speak(payload: dict[str, str]) -> None:  # noqa: ARG001 - a handler has one
        logger.bind(task_id="of another").info("within")

    broker = MemoryBroker()
    try:
        async with anyio.create_task_group() as service:
            worker = Worker(broker, handlers, worker_id="w")
            await service.start(worker.run)
            await broker.answer(await broker.push("q", "speak", {}))
            await worker.stop()
        logger.info("without")
    finally:
        logger.remove(sink)
        logger.configure(patcher=lambda _: None)
    said = {line["message"]: line["extra"] for line in lines}
    # What the caller has bound stands.
    assert said["within"] == {"task_id": "of another", "task_type": "speak", "attempt": 1}
    assert said["without"] == {}
