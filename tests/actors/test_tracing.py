from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import anyio
import pytest
from attrs import define, field
from loguru import logger

from actors import Backoff, Handlers, Worker, current_task, name_task
from messages import Delivery, Outcome, Retried, Succeeded, decode_task
from runtime.memory import MemoryBroker

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
