"""Recurring tasks: each due time is fired once, by whichever worker lives."""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from actors import RefusedError, Surroundings, Worker
from runtime.memory import MemoryBroker
from tests.actors.stage import Q, Stage, until
from tests.actors.test_schedules import at

pytestmark = [pytest.mark.anyio, pytest.mark.virtual]

DAWN = datetime(2026, 2, 17, 12, tzinfo=UTC)


@pytest.fixture
def stage() -> Stage:
    """A broker whose time of day begins at noon."""
    return Stage(memory=MemoryBroker(Surroundings(now=lambda: DAWN)))


def fired(stage: Stage, name: str = "nap") -> list[int]:
    """Return the seconds after noon of the due times that were fired, in order of the pushes."""
    noon, ids = DAWN.timestamp(), [*stage.started, *stage.queued()]
    found = (task.partition("@") for task in ids)
    return [
        int(datetime.fromisoformat(due).timestamp() - noon)
        for whose, _, due in found
        if whose == name
    ]


def worker(stage: Stage, **options: Any) -> Worker:
    """Make a worker."""
    return stage.worker([Q], **options)


async def settled(stage: Stage) -> None:
    """Let the first look be over, so that all after it is fired."""
    await until(lambda: stage.memory.store.queue(Q).recurring, "the first look")


async def test_each_due_time_is_fired_once_across_the_fleet(stage: Stage) -> None:
    """Three workers, a task each second for a minute: sixty, in order, none of them double."""
    stage.handlers.every("1s", "nap")
    async with stage.working([Q]), stage.working([Q]), stage.working([Q]):
        await anyio.sleep(60.5)
        assert fired(stage) == list(range(1, 61))
        await until(lambda: len(stage.answered()) == 60, "all are answered")
    assert max(Counter(stage.answered()).values()) == 1


async def test_a_cron_expression_fires_by_the_time_of_day(stage: Stage) -> None:
    """Due times are the server's time of day in the zone that was named."""
    stage.handlers.every("*/4 13 * * *", "nap", timezone="Europe/Berlin")
    stage.handlers.every("30s", "nap", {"n": 1}, name="other")
    async with stage.working([Q]):
        await anyio.sleep(590)
    assert fired(stage) == [240, 480]
    assert fired(stage, "other") == [30 * number for number in range(1, 20)]


async def test_who_has_fired_goes_first(stage: Stage) -> None:
    """While one worker fires the others find nothing to do: they only look."""
    stage.handlers.every("1s", "nap")
    first, second = worker(stage), worker(stage)
    async with anyio.create_task_group() as host:
        await host.start(first.run)
        await settled(stage)
        await host.start(second.run)
        await anyio.sleep(20.5)
        assert len(fired(stage)) == 20
        calls = Counter(stage.broker.network(second.worker_id).calls)
        assert calls["fire"] == 0
        assert 0 < calls["recurring"] <= 22
        await first.stop()
        await second.stop()


async def test_when_the_one_that_fires_dies_no_due_time_is_lost(stage: Stage) -> None:
    """Another worker fires the next due time, and goes first from then on."""
    stage.handlers.every("1s", "nap")
    first, second = worker(stage), worker(stage)
    async with anyio.create_task_group() as host:
        host.start_soon(stage.mortal, first)
        await settled(stage)
        await host.start(second.run)
        await anyio.sleep(3.5)
        stage.kill(first)
        await anyio.sleep(4)
        assert fired(stage) == [1, 2, 3, 4, 5, 6, 7]
        assert Counter(stage.broker.network(second.worker_id).calls)["fire"] == 4
        await second.stop()


@pytest.mark.parametrize("seed", range(10))
async def test_workers_that_die_at_random_lose_and_double_nothing(stage: Stage, seed: int) -> None:
    """Killed at any time, in the middle of a call too, and replaced: sixty firings in a minute."""
    chance = random.Random(seed)
    stage.handlers.every("1s", "nap")
    alive: list[Worker] = []

    async with anyio.create_task_group() as host:

        def launch() -> None:
            one = worker(stage)
            network = stage.broker.network(one.worker_id)
            network.loses = lambda name: name == "fire" and chance.random() < 0.3
            network.delay = lambda name: chance.uniform(0, 0.3) if name != "wait" else 0.0
            alive.append(one)
            host.start_soon(stage.mortal, one)

        for _ in range(4):
            launch()
        await settled(stage)
        until_then = anyio.current_time() + 60
        while anyio.current_time() < until_then:
            await anyio.sleep(chance.uniform(0, 2))
            members = stage.memory.members()
            some = [one for one in alive if any(h.startswith(one.worker_id) for h in members)]
            if some:
                victim = chance.choice(some)
                alive.remove(victim)
                stage.kill(victim)
                launch()
        await anyio.sleep(15)
        seen = Counter(fired(stage))
        for one in alive:
            one.request_stop()
    # A task that was held by the dead may have begun twice, but it was pushed once.
    assert sorted(seen) == list(range(min(seen), max(seen) + 1))
    assert len(seen) >= 70
    pushed = Counter(stage.answered())
    assert max(pushed.values()) == 1


@pytest.mark.parametrize(("away", "expected"), [(5, [3, 4, 5, 6, 7, 8]), (60, [63])])
async def test_what_a_fleet_has_missed(stage: Stage, away: float, expected: list[int]) -> None:
    """Nobody runs for a while: a short one costs nothing, a long one is caught up once."""
    stage.handlers.every("1s", "nap")
    async with stage.working([Q]):
        await anyio.sleep(2.5)
    before = fired(stage)
    assert before == [1, 2]
    await anyio.sleep(away + 1)
    async with stage.working([Q]):
        await until(lambda: len(fired(stage)) > 2, "it goes on")
        found = fired(stage)[2:]
        await anyio.sleep(1)
        assert fired(stage)[2 + len(found)] == found[-1] + 1
    assert found == expected


async def test_a_task_that_is_new_waits_for_its_time(stage: Stage) -> None:
    """It isn't fired at the start; and a fleet that dies right then still catches it up."""
    stage.handlers.every("1h", "nap")
    async with stage.working([Q]):
        await settled(stage)
        await anyio.sleep(60)
    assert fired(stage) == []
    await anyio.sleep(7_200)
    async with stage.working([Q]):
        await anyio.sleep(1)
    assert fired(stage) == [7_200]


async def test_a_schedule_that_changes_keeps_what_was_fired(stage: Stage) -> None:
    """Under the same name another schedule goes on from the last due time."""
    stage.handlers.every("1s", "nap")
    async with stage.working([Q]):
        await anyio.sleep(2.5)
    changed = Stage(memory=stage.memory)
    changed.handlers.every("4s", "nap")
    async with changed.working([Q]):
        await anyio.sleep(8)
    assert (fired(stage), fired(changed)) == ([1, 2], [4, 8])


async def test_a_lost_reply_doubles_nothing(stage: Stage) -> None:
    """A firing of which nobody knows whether it happened isn't done again."""
    stage.handlers.every("1s", "nap")
    one = worker(stage)
    stage.broker.network(one.worker_id).loses = lambda name: name == "fire"
    async with anyio.create_task_group() as host:
        await host.start(one.run)
        await anyio.sleep(10.9)
        assert fired(stage) == list(range(1, 11))
        await one.stop()


async def test_a_refused_firing_is_tried_again(stage: Stage, lines: list[str]) -> None:
    """A full server refuses pushes: once it takes them again nothing of the last seconds is lost.

    The log says why, and not each time.
    """
    stage.handlers.every("1s", "nap")
    one = worker(stage)
    network = stage.broker.network(one.worker_id)
    async with anyio.create_task_group() as host:
        await host.start(one.run)
        await anyio.sleep(2.4)
        network.breaks["fire"] = RefusedError("it is full")
        await anyio.sleep(6)
        assert fired(stage) == [1, 2]
        del network.breaks["fire"]
        await anyio.sleep(2)
        assert fired(stage) == list(range(1, 11))
        await one.stop()
    said = [line for line in lines if "refuses" in line]
    assert said[0].startswith(f"The server refuses to fire the recurring tasks of {Q}: it is full")
    assert len(said) == 4


async def test_what_is_refused_keeps_the_others_from_nothing(stage: Stage) -> None:
    """A firing that the server won't have doesn't stand in the way of other recurring tasks."""
    stage.handlers.every("1s", "nap", name="bad")
    stage.handlers.every("1s", "nap", name="good")
    one = worker(stage)
    store, fire = stage.memory.store, stage.memory.store.fire

    def refuse(queue: str, name: str, *words: Any) -> bool:
        if name == "bad":
            raise RefusedError("not this one")
        return fire(queue, name, *words)

    store.fire = refuse  # type: ignore[method-assign]
    async with anyio.create_task_group() as host:
        await host.start(one.run)
        await anyio.sleep(5.9)
        assert (fired(stage, "bad"), fired(stage, "good")) == ([], [1, 2, 3, 4, 5])
        await one.stop()


async def test_a_server_out_of_reach_is_waited_for(stage: Stage) -> None:
    """After a short absence of the server each due time is fired."""
    stage.handlers.every("1s", "nap")
    one = worker(stage)
    network = stage.broker.network(one.worker_id)
    async with anyio.create_task_group() as host:
        await host.start(one.run)
        await anyio.sleep(2.4)
        network.fails = lambda name: name in {"recurring", "fire"}
        await anyio.sleep(5)
        network.fails = lambda _: False
        await anyio.sleep(2)
        assert fired(stage) == list(range(1, 10))
        await one.stop()


async def test_a_clock_that_is_set_back_doubles_nothing(stage: Stage, lines: list[str]) -> None:
    """The task waits until its time comes again, and the log says so once."""
    stage.handlers.every("1s", "nap")
    async with stage.working([Q]):
        await anyio.sleep(20.5)
        assert stage.memory.store.dawn == at(DAWN.isoformat())
        stage.memory.store.dawn -= 15_000
        await anyio.sleep(14)
        assert len(fired(stage)) == 20
        await anyio.sleep(6)
        assert fired(stage) == list(range(1, 26))
    said = [line for line in lines if "set back" in line]
    assert len(said) == 1
    assert said[0].startswith("Recurring task nap was fired 1")


async def test_a_draining_worker_fires_nothing(stage: Stage) -> None:
    """After a stop request the worker leaves firing to others, whatever it still runs."""
    stage.handlers.every("1s", "nap")
    one = worker(stage)
    async with anyio.create_task_group() as host:
        await host.start(one.run)
        await stage.push_naps(["long"], 20)
        await anyio.sleep(2.5)
        await one.stop()
    assert fired(stage) == [1, 2]
    assert "long" in stage.finished


async def test_a_burst_fires_nothing(stage: Stage) -> None:
    """A worker that is to empty its queues doesn't fill them."""
    stage.handlers.every("1s", "nap")
    await stage.push_naps(["long"], 5)
    await worker(stage, settings={"burst": True}).run()
    assert stage.started == ["long"]
    assert not stage.memory.store.queue(Q).recurring
