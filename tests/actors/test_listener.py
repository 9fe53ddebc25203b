"""What whoever follows a worker hears, of whole workers."""

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from attrs import define, field

from actors import Backoff, Reject
from runtime.events.outbox import Outbox
from runtime.events.records import Writer
from tests.actors.stage import Q, Stage, body, until

pytestmark = pytest.mark.anyio


@define(eq=False)
class Heard:
    """A listener, and what it has heard."""

    outbox: Outbox = field(
        factory=lambda: Outbox(Writer("w"), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    )
    events: list[dict[str, str]] = field(factory=list)

    def all(self) -> list[dict[str, str]]:
        for record in self.outbox.take(1_000):
            self.events.append(dict(zip(record[::2], record[1::2], strict=True)))
        return self.events

    def of(self, task_id: str) -> list[str]:
        """Return the events of a task, in their order."""
        return [event["event"] for event in self.all() if event.get("task_id") == task_id]


async def test_a_worker_and_a_task_from_start_to_end(stage: Stage) -> None:
    """A worker's start, a task's start and success and the worker's drain come in this order."""
    heard = Heard()
    async with stage.working(listener=heard.outbox, concurrency=3):
        task_id = (await stage.run("nap"))["task_id"]
    names = [event["event"] for event in heard.all()]
    assert names == ["worker_started", "task_started", "task_succeeded", "worker_drained"]
    started, began, ended, drained = heard.events
    assert (started["queues"], started["slots"]) == (Q, "3")
    assert (began["task_id"], began["type"], began["queue"]) == (task_id, "nap", Q)
    assert began["attempt"] == "1"
    assert float(ended["duration_ms"]) >= 0
    assert (drained["answered"], drained["failed"], drained["unsettled"]) == ("1", "0", "0")


async def test_failures_are_told_apart(stage: Stage) -> None:
    """A retry, a last failure, a rejection and a body that is no task each have their events."""

    @stage.handlers.on("break", retry=Backoff(attempts=2, base=0.01))
    async def breaks(payload: dict[str, Any]) -> None:
        raise ValueError(payload)

    @stage.handlers.on("refuse")
    async def refuses(payload: dict[str, Any]) -> None:
        raise Reject(f"no {payload}")

    heard = Heard()
    stage.memory.store.queue(Q).waiting.append(b"no task")
    async with stage.working(listener=heard.outbox):
        broken = (await stage.run("break", word="s3cret"))["task_id"]
        refused = (await stage.run("refuse", word="s3cret"))["task_id"]
        unknown = (await stage.run("unheard-of"))["task_id"]
    assert heard.of(broken) == [
        *("task_started", "task_retried"),
        *("task_started", "task_failed", "task_dead_lettered"),
    ]
    assert heard.of(refused) == ["task_started", "task_failed", "task_dead_lettered"]
    assert heard.of(unknown) == ["task_failed", "task_dead_lettered"]
    retried = next(event for event in heard.events if event["event"] == "task_retried")
    assert (retried["attempt"], retried["error_type"]) == ("1", "ValueError")
    assert "after_ms" in retried
    reasons = [e["reason"] for e in heard.events if e["event"] == "task_dead_lettered"]
    assert sorted(reasons) == ["attempts_exhausted", "malformed", "rejected", "unknown_type"]
    assert "s3cret" not in str(heard.events)


async def test_a_cancelled_task_is_told(stage: Stage) -> None:
    """A task that is cancelled while it runs starts and is cancelled, and nothing else."""
    heard = Heard()
    async with stage.working(listener=heard.outbox):
        await stage.push_naps(["t"], 600)
        await until(lambda: stage.running == 1)
        assert await stage.memory.cancel("t")
        await until(lambda: "task_cancelled" in heard.of("t"))
    assert heard.of("t") == ["task_started", "task_cancelled"]


@pytest.mark.virtual
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_poison_pill_is_told_by_who_buries_it(stage: Stage, *, cancelled: bool) -> None:
    """The third death of a task is told as its failure and its dead letter, with the reason.

    If it was cancelled before its worker's death was noticed, it is told as cancelled.
    """
    heard = Heard()
    stage.memory.store.queue(Q).waiting.append(
        body("pill", payload={"seconds": 600}, deaths=2, nonce="n")
    )
    async with anyio.create_task_group() as host:
        victim = stage.worker(worker_id="victim")
        host.start_soon(stage.mortal, victim)
        await until(lambda: stage.started == ["pill"])
        async with stage.working(listener=heard.outbox):
            stage.kill(victim)
            assert not cancelled or await stage.memory.cancel("pill")
            await until(lambda: heard.of("pill"))
    if cancelled:
        assert heard.of("pill") == ["task_cancelled"]
        assert stage.dead() == []
    else:
        assert heard.of("pill") == ["task_failed", "task_dead_lettered"]
        assert {e["reason"] for e in heard.events if "task_id" in e} == {"poison_pill"}
