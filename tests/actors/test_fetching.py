from typing import Any

import anyio
import pytest

from tests.actors.stage import Q, Stage, busy, until

pytestmark = pytest.mark.anyio

OTHER = "brain:other_tasks"


@pytest.mark.virtual
async def test_what_no_slot_takes_in_time_goes_back(stage: Stage) -> None:
    """What has waited in the buffer for 100 ms goes back to the head, in order, for others."""
    names = [f"t{number}" for number in range(8)]
    async with stage.working(concurrency=1, settings={"horizon": 0.05}) as worker:
        await stage.warm_up()
        await stage.push_naps(names, 60)
        await until(lambda: worker.statistics().buffered, "some are buffered")
        held = worker.statistics().buffered
        began = anyio.current_time()
        await until(lambda: not worker.statistics().buffered, "they are given back")

        assert held > 1
        assert anyio.current_time() - began <= 0.11
        assert stage.queued() == names[1:]
        assert worker.statistics().released == 7
        # And it stays so: slots filled with slow tasks fetch nothing.
        await anyio.sleep(20)
        assert (busy(worker.statistics()), stage.queued()) == (names[:1], names[1:])
        await worker.stop(grace=0)


@pytest.mark.virtual
async def test_nobody_hoards(stage: Stage) -> None:
    """After a burst of quick tasks, slow ones run on both workers at once: none is held idle."""
    async with (
        stage.working(concurrency=1, worker_id="one"),
        stage.working(concurrency=1, worker_id="two"),
    ):
        await stage.push_naps([f"quick{number}" for number in range(2_000)], 0.0001)
        slow = [f"slow{number}" for number in range(4)]
        await stage.push_naps(slow, 3)
        answers = [await stage.answer(name) for name in slow]

    starts = sorted(answer["started_at"] for answer in answers)
    assert {answer["worker_id"] for answer in answers[:2]} == {"one", "two"}
    assert len(starts) == 4
    assert [stage.finished.index(name) for name in slow] == sorted(
        stage.finished.index(name) for name in slow
    )
    # Two at a time: four tasks of 3 s were over 6 s after the first began, give or take a look.
    assert anyio.current_time() < 2_000 * 0.0001 + 6 + 1


async def test_a_slow_task_keeps_no_other_from_an_idle_worker(stage: Stage) -> None:
    """While one worker is busy, the other takes all that comes."""
    over = anyio.Event()

    @stage.handlers.on("slow")
    async def slow(_: dict[str, Any]) -> None:
        await over.wait()

    async with stage.working(concurrency=1), stage.working(concurrency=1):
        slow_id = await stage.push("slow")
        for _ in range(20):
            assert (await stage.run("nap"))["success"] is True
        over.set()
        assert (await stage.answer(slow_id))["success"] is True


@pytest.mark.virtual
async def test_queues_are_served_in_rotation(stage: Stage) -> None:
    """A full queue starves no other: they take turns."""
    await stage.push_naps([f"a{number}" for number in range(20)], 1)
    await stage.push_naps([f"b{number}" for number in range(20)], 1, OTHER)
    async with stage.working([Q, OTHER], concurrency=1):
        await until(lambda: len(stage.started) == 20)
        names = stage.started.copy()
        await stage.answer("a19")
        await stage.answer("b19")

    assert 8 <= sum(name.startswith("a") for name in names) <= 12
    for letter in "ab":
        mine = [name for name in stage.started if name.startswith(letter)]
        assert mine == [f"{letter}{number}" for number in range(20)]


@pytest.mark.virtual
async def test_strict_order_serves_an_earlier_queue_first(stage: Stage) -> None:
    """With `strict_order` a later queue has to wait until the earlier ones are empty."""
    await stage.push_naps([f"b{number}" for number in range(5)], 1, OTHER)
    await stage.push_naps([f"a{number}" for number in range(5)], 1)
    async with stage.working([Q, OTHER], concurrency=1, settings={"strict_order": True}):
        await until(lambda: len(stage.started) == 6)
        await stage.push_naps(["urgent"], 1)
        await stage.answer("b4")

    expected = [*(f"a{number}" for number in range(5)), "b0", "urgent"]
    assert stage.started[:7] == expected
    assert stage.started[7:] == [f"b{number}" for number in range(1, 5)]


async def test_an_idle_worker_hears_of_a_task_on_any_queue(stage: Stage) -> None:
    """A worker that waits is woken by a push to each of its queues."""
    async with stage.working([Q, OTHER]):
        for number in range(6):
            queue = (Q, OTHER)[number % 2]
            assert (await stage.answer(await stage.push(queue=queue)))["success"] is True


async def test_many_workers_share_a_queue(stage: Stage) -> None:
    """Each task goes to one worker, is answered once, and none is left."""
    names = [f"t{number}" for number in range(300)]
    async with stage.working(), stage.working(), stage.working():
        await stage.push_naps(names, 0.001)
        for name in names:
            await stage.answer(name)

    assert sorted(stage.answered()) == sorted(stage.started) == sorted(names)
    assert (stage.queued(), stage.inflight()) == ([], [])


async def test_handlers_that_never_wait_keep_nobody_from_the_loop(stage: Stage) -> None:
    """A stream of handlers without a single await still lets the answers out."""

    @stage.handlers.on("spin")
    async def spin(_: dict[str, Any]) -> None:
        stage.started.append("spin")

    async with stage.working(concurrency=1):
        for _ in range(2_000):
            await stage.push("spin")
        await until(lambda: len(stage.answered()) == 2_000)

    assert len(stage.started) == 2_000
