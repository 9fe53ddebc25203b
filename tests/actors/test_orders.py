"""Cancelled tasks and paused queues, as a worker obeys them."""

import threading
from typing import Any

import anyio
import pytest

from runtime import TaskAnswered, TaskCancelled, TaskDead, TaskDelayed, TaskRunning, TaskWaiting
from runtime.memory import MemoryTaskQueue
from runtime.memory.session import MemorySession
from runtime.outgoing import Terms
from tests.actors.stage import Q, Stage, until

pytestmark = pytest.mark.anyio


def queue_of(stage: Stage) -> MemoryTaskQueue:
    return MemoryTaskQueue(stage.memory, queue=Q)


async def test_a_waiting_task_that_is_cancelled_never_runs(stage: Stage) -> None:
    """It is answered at once, and its body is dropped when its turn comes; the others run."""
    await stage.push_naps("abc")
    assert await queue_of(stage).cancel("b")
    answer = await stage.answer("b")
    assert (answer["success"], answer["result"]["error_type"]) == (False, "Cancelled")

    async with stage.working() as worker:
        await stage.answer("c")
        await until(lambda: not stage.inflight())
        assert stage.started == ["a", "c"]
        assert worker.statistics().cancelled == 1
    assert stage.answered() == ["b", "a", "c"]
    assert (stage.queued(), stage.dead(), stage.memory.store.cancelled) == ([], [], {})


async def test_a_task_that_is_cancelled_during_a_wait_is_dropped(stage: Stage) -> None:
    """What a waiting worker is handed may have been cancelled before it was pushed."""
    async with stage.working():
        await stage.memory.cancel("a")
        await stage.push_naps("a")
        await until(lambda: not stage.inflight() and not stage.memory.store.cancelled)
    assert (stage.started, stage.answered()) == ([], ["a"])


@pytest.mark.virtual
async def test_a_delayed_task_that_is_cancelled_never_runs(stage: Stage) -> None:
    """Its body waits for its time, and is dropped then."""
    await stage.memory.push(Q, "nap", {}, "later", Terms(delay=60))
    async with stage.working():
        assert await queue_of(stage).cancel("later")
        await anyio.sleep(61)
        assert (stage.started, stage.answered()) == ([], ["later"])
        assert stage.memory.store.queue(Q).delayed == {}
        assert stage.memory.store.cancelled == {}


@pytest.mark.virtual
async def test_a_running_handler_is_cancelled_within_a_second(stage: Stage) -> None:
    """The handler is told, its slot is free, and nothing else is answered or retried."""
    ended: list[float] = []

    @stage.handlers.on("long")
    async def long(_: dict[str, Any]) -> None:
        try:
            await anyio.sleep(500)
        finally:
            ended.append(anyio.current_time())

    async with stage.working(concurrency=1) as worker:
        task_id = await stage.push("long")
        await until(lambda: worker.statistics().running)
        asked = anyio.current_time()
        await queue_of(stage).cancel(task_id)
        await stage.push_naps(["next"])
        await stage.answer("next")
        assert ended[0] - asked <= 1
        assert worker.statistics().cancelled == 1
    assert stage.answered() == [task_id, "next"]
    assert (stage.inflight(), stage.memory.store.cancelled) == ([], {})


@pytest.mark.real_time
async def test_a_thread_is_given_up_when_its_task_is_cancelled(
    stage: Stage, lines: list[str]
) -> None:
    """It can't be ended, and the log names it; its slot is free, what it returns doesn't count."""
    free, begun = threading.Event(), threading.Event()

    @stage.handlers.on("stubborn")
    def stubborn(_: dict[str, Any]) -> str:
        begun.set()
        free.wait(60)
        return "too late"

    async with stage.working(concurrency=1):
        task_id = await stage.push("stubborn")
        await until(begun.is_set)
        await queue_of(stage).cancel(task_id)
        await stage.push_naps(["next"])
        await stage.answer("next")
        assert any(f"Task {task_id} is given up; thread " in line for line in lines)
        free.set()
    assert stage.answered() == [task_id, "next"]


async def test_a_handler_that_ends_all_the_same_is_not_answered_again(stage: Stage) -> None:
    """Its result comes too late: the first answer stands (I2)."""
    cancelled = anyio.Event()

    @stage.handlers.on("quick")
    async def quick(_: dict[str, Any]) -> str:
        with anyio.CancelScope(shield=True):
            await cancelled.wait()
        return "done"

    async with stage.working() as worker:
        task_id = await stage.push("quick")
        await until(lambda: worker.statistics().running)
        await queue_of(stage).cancel(task_id)
        cancelled.set()
        await until(lambda: not stage.inflight())
        assert (await stage.answer(task_id))["result"]["error_type"] == "Cancelled"
        assert stage.answered() == [task_id]


async def test_an_answered_task_is_not_cancelled(stage: Stage) -> None:
    """The cancellation says that it came too late."""
    async with stage.working():
        await stage.push_naps("a")
        await stage.answer("a")
        assert not await queue_of(stage).cancel("a")
    assert (await stage.answer("a"))["success"] is True


async def test_a_failing_task_that_is_cancelled_is_not_tried_again(stage: Stage) -> None:
    """Neither a next attempt nor a dead letter comes of it."""
    fail = anyio.Event()

    @stage.handlers.on("failing")
    async def failing(_: dict[str, Any]) -> None:
        with anyio.CancelScope(shield=True):
            await fail.wait()
        raise ValueError("no")

    async with stage.working() as worker:
        ids = [
            await stage.memory.push(Q, "failing", {}, None, Terms(max_attempts=attempts))
            for attempts in (1, 5)
        ]
        await until(lambda: len(worker.statistics().running) == 2)
        for task_id in ids:
            await queue_of(stage).cancel(task_id)
        fail.set()
        await until(lambda: not stage.inflight())
    assert stage.answered() == ids
    assert (stage.dead(), stage.memory.store.queue(Q).delayed) == ([], {})


@pytest.mark.virtual
async def test_nothing_is_taken_from_a_paused_queue(stage: Stage) -> None:
    """What runs goes on, other queues are served, and after the pause all goes on in order (I3)."""
    async with stage.working([Q, "other"], concurrency=1) as worker:
        await stage.push_naps(["runs"], 5)
        await until(lambda: worker.statistics().running)
        await queue_of(stage).pause(Q)
        await anyio.sleep(1)
        assert worker.statistics().paused == {Q}
        await stage.push_naps(["one", "two", "three"])
        await stage.push_naps(["else"], queue="other")
        await stage.answer("runs")
        await stage.answer("else")
        await anyio.sleep(100)
        assert (stage.started, stage.queued()) == (["runs", "else"], ["one", "two", "three"])
        await queue_of(stage).resume(Q)
        await stage.answer("three")
        assert stage.started[2:] == ["one", "two", "three"]


@pytest.mark.virtual
async def test_a_pause_ends_a_wait_under_way(stage: Stage) -> None:
    """A worker that waits on an empty queue takes nothing that is pushed a second later."""
    async with stage.working() as worker:
        await anyio.sleep(10)
        await queue_of(stage).pause(Q)
        await anyio.sleep(1)
        await stage.push_naps("a")
        await anyio.sleep(30)
        assert (stage.queued(), worker.statistics().running) == (["a"], ())
        await queue_of(stage).resume(Q)
        with anyio.fail_after(1):
            await stage.answer("a")


@pytest.mark.virtual
async def test_what_a_wait_takes_after_a_pause_is_given_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the moment when a worker knows of a pause nothing runs, though its wait still lasts."""
    async with stage.working() as worker:
        await anyio.sleep(1)
        with monkeypatch.context() as patch:
            # As on a server that is late to end the wait.
            patch.setattr(MemorySession, "wake", lambda _: None)
            await queue_of(stage).pause(Q)
            await anyio.sleep(0.5)
            assert worker.statistics().paused == {Q}
            await stage.push_naps("a")
            await anyio.sleep(10)
        assert worker.statistics().released == 1
        assert (stage.started, stage.queued(), stage.inflight()) == ([], ["a"], [])
        await queue_of(stage).resume(Q)
        await stage.answer("a")


@pytest.mark.virtual
async def test_it_can_be_told_where_a_task_is(stage: Stage) -> None:
    """Waiting, delayed, running, dead, cancelled, answered, nowhere: one class for each."""
    tasks = queue_of(stage)

    @stage.handlers.on("broken")
    async def broken(_: dict[str, Any]) -> None:
        raise ValueError("no luck")

    await stage.push_naps(["first"], 5)
    assert await tasks.get_task("first") == TaskWaiting("first", Q, 1)
    async with stage.working(concurrency=1) as worker:
        await until(lambda: worker.statistics().running)
        assert await tasks.get_task("first") == TaskRunning("first", Q, worker.worker_id, 1, None)
        assert isinstance(await _answered(stage, tasks, "first"), TaskAnswered)
        await tasks.push_task("broken", {}, task_id="again", max_attempts=2)
        await until(lambda: stage.memory.store.queue(Q).delayed)
        delayed = await tasks.get_task("again")
        assert isinstance(delayed, TaskDelayed)
        assert (delayed.attempt, delayed.error) == (2, "no luck")
        dead = await _answered(stage, tasks, "again")
        assert isinstance(dead, TaskDead)
        assert (dead.reason, dead.error) == ("attempts_exhausted", "no luck")
    await tasks.cancel("gone")
    assert await tasks.get_task("gone") == TaskCancelled("gone")
    assert type(await tasks.get_task("never")).__name__ == "TaskUnknown"


async def _answered(stage: Stage, tasks: MemoryTaskQueue, task_id: str) -> object:
    await stage.answer(task_id)
    return await tasks.get_task(task_id)
