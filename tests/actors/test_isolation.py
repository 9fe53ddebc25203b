"""Tasks that kill their workers: they die alone (I7)."""

from typing import Any

import anyio
import pytest

from actors import Context
from tests.actors.stage import Q, Stage, body, until

pytestmark = pytest.mark.anyio


@pytest.mark.virtual
@pytest.mark.parametrize("pills", [1, 3])
async def test_a_poison_pill_takes_no_neighbour_along(stage: Stage, pills: int) -> None:
    """Workers with 8 slots, replaced when they die: three deaths a pill, all others answered."""
    killers: dict[str, int] = {}
    workers: dict[str, Any] = {}

    @stage.handlers.on("poison")
    async def poison(_: dict[str, Any], context: Context) -> None:
        killers[context.task_id] = killers.get(context.task_id, 0) + 1
        await anyio.sleep(0.05)
        stage.kill(workers[context.worker_id])
        await anyio.sleep_forever()

    good = [f"good{number:03}" for number in range(100)]
    for number, name in enumerate(good):
        if number % 20 == 4 and number // 20 < pills:
            await stage.memory.push_raw(Q, body(f"pill{number // 20}", "poison"))
        await stage.push_naps([name], 0.3)

    async def supervised() -> None:
        while True:
            worker = stage.worker(concurrency=8)
            workers[worker.worker_id] = worker
            await stage.mortal(worker)

    async with anyio.create_task_group() as host:
        for _ in range(2):
            host.start_soon(supervised)
        with anyio.fail_after(2_000):
            for name in (*good, *(f"pill{number}" for number in range(pills))):
                await stage.memory.answer(name)
        host.cancel_scope.cancel()

    assert killers == {f"pill{number}": 3 for number in range(pills)}
    assert sorted(stage.dead()) == [(f"pill{number}", "poison_pill") for number in range(pills)]
    assert set(good) <= set(stage.finished)


@pytest.mark.virtual
async def test_a_suspect_runs_alone(stage: Stage) -> None:
    """Nothing runs beside a task with two deaths, whatever else waits; afterwards all goes on."""
    beside: list[int] = []

    @stage.handlers.on("suspect")
    async def suspect(_: dict[str, Any]) -> None:
        for _ in range(10):
            await anyio.sleep(0.1)
            beside.append(stage.running)

    names = [str(number) for number in range(30)]
    await stage.push_naps(names[:10], 0.5)
    for name in ("s1", "s2"):
        await stage.memory.push_raw(Q, body(name, "suspect", deaths=2))
    await stage.push_naps(names[10:], 0.5)
    async with stage.working(concurrency=4):
        for name in (*names, "s1", "s2"):
            await stage.answer(name)

    assert beside == [0] * 20
    assert stage.dead() == []


@pytest.mark.virtual
async def test_a_suspect_on_one_of_several_queues_runs_alone(stage: Stage) -> None:
    """What comes from another queue beside it goes back and is run after it."""
    beside: list[int] = []

    @stage.handlers.on("suspect")
    async def suspect(_: dict[str, Any]) -> None:
        await anyio.sleep(1)
        beside.append(stage.running)

    async with stage.working([Q, "brain:other"], concurrency=4):
        await anyio.sleep(1)
        await stage.memory.push_raw(Q, body("s", "suspect", deaths=2))
        await stage.push_naps(["n"], 0.5, "brain:other")
        await stage.answer("s")
        await stage.answer("n")

    assert beside == [0]


@pytest.mark.virtual
async def test_a_suspect_is_given_back_by_a_drain(stage: Stage) -> None:
    """A stop while a suspect waits for quiet leaves it in the queue, nothing counted (I6)."""
    await stage.push_naps(["long"], 60)
    await stage.memory.push_raw(Q, body("s", "nap", deaths=2))
    async with stage.working(concurrency=4) as worker:
        await until(lambda: stage.started == ["long"])
        await anyio.sleep(5)
        assert (stage.queued(), stage.inflight()) == (["s"], ["long"])
        await worker.stop(grace=1)

    assert stage.started == ["long"]
    assert [stage.field(raw, "deaths") for raw in stage.memory.store.queue(Q).waiting] == [None, 2]
