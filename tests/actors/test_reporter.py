"""What is told of tasks while they run."""

import json
from typing import Any

import anyio
import pytest

from actors import Backoff, Context, Retry
from tests.actors.stage import Q, Stage, until

pytestmark = [pytest.mark.anyio, pytest.mark.virtual]


def told(stage: Stage) -> dict[str, dict[str, Any]]:
    """Return what is known of running tasks, by id."""
    store, now = stage.memory.store, anyio.current_time()
    bodies = {task_id: store.notes.progress_of(task_id, now) for task_id in [*store.notes.progress]}
    return {task_id: json.loads(body) for task_id, body in bodies.items() if body is not None}


async def test_a_task_that_takes_a_while_is_told_of(stage: Stage) -> None:
    """Where it runs since when is known from about half a second on, and gone with its answer."""
    async with stage.working(worker_id="w"):
        await stage.push_naps(["a"], seconds=3)
        await until(lambda: told(stage), "it is told of")
        assert anyio.current_time() <= 1.1
        one = told(stage)["a"]
        assert one.pop("started_at") <= one.pop("updated_at")
        assert one == {
            "task_id": "a",
            "type": "nap",
            "queue": Q,
            "worker_id": "w",
            "attempt": 1,
            "done": None,
            "total": None,
        }
        await stage.answer("a")
        await anyio.sleep(1)
        assert told(stage) == {}


async def test_short_tasks_cost_nothing(stage: Stage) -> None:
    """Of tasks that end soon nothing is told, however many there are."""
    async with stage.working(worker_id="w"):
        await stage.push_naps([f"n{number}" for number in range(200)], seconds=0.1)
        await stage.answer("n199")
        await anyio.sleep(2)
    assert "report" not in stage.broker.network("w").calls


async def test_progress_is_told_when_it_changes(stage: Stage) -> None:
    """The newest values are told twice a second at most; without a change only now and then."""
    seen: list[tuple[float, float | None]] = []

    @stage.handlers.on("counts")
    async def counts(_: dict[str, Any], context: Context) -> None:
        for number in range(40_000):
            context.progress(number, 40_000)
            if number % 400 == 0:
                await anyio.sleep(0.1)
                if told(stage):
                    one = told(stage)[context.task_id]
                    seen.append((one["done"], one["total"]))
        await anyio.sleep(50)

    async with stage.working(worker_id="w"):
        await stage.run("counts")
    calls = stage.broker.network("w").calls.count("report")
    # 10 s of counting, 50 s of silence, the removal.
    assert 19 <= calls <= 20 + 3 + 1
    assert {total for _, total in seen} == {40_000}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] >= 37_600


async def test_what_is_told_outlives_no_silence(stage: Stage) -> None:
    """A task that says nothing for minutes is still known to run."""
    async with stage.working():
        await stage.push_naps(["a"], seconds=300)
        for _ in range(29):
            await anyio.sleep(10)
            assert set(told(stage)) == {"a"}


async def test_the_dead_tell_nothing_for_long(stage: Stage) -> None:
    """What a killed worker has told expires within a minute."""
    async with anyio.create_task_group() as host:
        worker = stage.worker(worker_id="w")
        host.start_soon(stage.mortal, worker)
        await stage.push_naps(["a"], seconds=300)
        await until(lambda: told(stage), "it is told of")
        stage.kill(worker)
        await anyio.sleep(61)
        assert told(stage) == {}


async def test_what_was_told_ends_with_a_retry(stage: Stage) -> None:
    """A task that waits for its next attempt runs nowhere, and the next one begins at nothing."""

    @stage.handlers.on("fails", retry=Backoff(attempts=2, base=0.001))
    async def fails(_: dict[str, Any], context: Context) -> None:
        if context.attempt == 1:
            context.progress(5, 10)
            await anyio.sleep(2)
            raise Retry(after=5)
        await anyio.sleep(2)

    async with stage.working():
        task_id = await stage.push("fails")
        await until(lambda: told(stage).get(task_id, {}).get("done") == 5, "it is told of")
        await anyio.sleep(4)
        assert told(stage) == {}
        await until(lambda: told(stage), "the second attempt is told of")
        assert (told(stage)[task_id]["attempt"], told(stage)[task_id]["done"]) == (2, None)
        await stage.answer(task_id)


async def test_a_worker_that_leaves_leaves_nothing_told(stage: Stage) -> None:
    """At the end of a drain the tasks that went back aren't said to run here."""
    async with stage.working(settings={"grace": 0}):
        await stage.push_naps(["a"], seconds=300)
        await until(lambda: told(stage), "it is told of")
    assert stage.queued() == ["a"]
    assert told(stage) == {}


async def test_a_failing_report_is_made_up_for(stage: Stage) -> None:
    """A server out of reach costs reports, no task and no worker."""
    stage.broker.network("w").fails = lambda name: name == "report" and anyio.current_time() < 10
    async with stage.working(worker_id="w"):
        await stage.push_naps(["a", "b"], seconds=15)
        await until(lambda: set(told(stage)) == {"a", "b"}, "both are told of")
        assert anyio.current_time() >= 10
        assert (await stage.answer("a"))["success"]


async def test_another_workers_report_is_left_alone(stage: Stage) -> None:
    """A worker that has lost its task doesn't remove what its next run has told."""
    network = stage.broker.network("first")
    async with anyio.create_task_group() as host:
        first = stage.worker(worker_id="first")
        await host.start(first.run)
        await stage.push_naps(["a"], seconds=30)
        await until(lambda: told(stage), "the first tells of it")
        network.mute = True
        second = stage.worker(worker_id="second")
        await host.start(second.run)
        await until(lambda: told(stage)["a"]["worker_id"] == "second", "the second tells of it")
        network.mute = False
        await anyio.sleep(10)
        assert told(stage)["a"]["worker_id"] == "second"
        await first.stop()
        assert told(stage)["a"]["worker_id"] == "second"
        await second.stop()
