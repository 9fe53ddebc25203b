"""How missions end: each frees its agent and counts once, whoever hears of it, however late."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import attrs
import pytest

from runtime.brain import missions
from runtime.brain.delegate_task import delegate_task
from runtime.brain.missions import Ending, read_ending
from runtime.brain.scale_cluster import scale_cluster
from runtime.brain.services import Services
from runtime.brain.tables import ClusterAgent
from runtime.redis import keys
from tests.brain.conftest import NOW, STORED_NOW, World
from tests.brain.orders import delegation, scale, team

pytestmark = pytest.mark.anyio

DONE = Ending(success=True, seconds=2.0)


async def busy(services: Services, task_id: str = "t") -> tuple[str, str]:
    """Let a worker be busy with a mission; return its row id and the mission's id."""
    answer = await delegate_task(delegation(), task_id, services)
    return answer["agent"]["id"], answer["mission"]["task_id"]


async def store(services: Services, mission_id: str, **answer: Any) -> None:
    """Store a mission's answer, as a worker does."""
    await services.redis.set(keys.result(mission_id), json.dumps({"task_id": mission_id} | answer))


def at(services: Services, moment: timedelta) -> Services:
    """Return services whose clock is ahead."""
    return attrs.evolve(services, clock=lambda: NOW + moment)


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (
            b'{"success": true, "duration_ms": 1500.0, "result": {"reply": "a"}}',
            Ending(success=True, seconds=1.5),
        ),
        (
            b'{"success": false, "duration_ms": 10, "result": {"error": "boom"}}',
            Ending(success=False, seconds=0.01, error="boom"),
        ),
        (
            b'{"success": false, "duration_ms": null, "result": {"error": "expired"}}',
            Ending(success=False, error="expired"),
        ),
        (b'{"success": false}', Ending(success=False)),
        (b"[", Ending(success=False, error="its answer can't be read")),
        (b'{"success": "yes"}', Ending(success=False, error="its answer can't be read")),
    ],
)
def test_an_answer_tells_how_a_mission_ended(answer: bytes, ending: Ending) -> None:
    """Success, duration and error are read; what can't be read is a failure."""
    assert read_ending(answer) == ending


async def test_an_end_frees_and_counts_once(services: Services, world: World) -> None:
    """Of ten who hear of a mission's end one counts it; the agent is idle and its mean is right."""
    await team(world)
    await world.agent("w")
    row_id, first = await busy(services, "t1")
    freed = await asyncio.gather(*(missions.free(services, row_id, first, DONE) for _ in range(10)))
    assert sorted(freed) == [False] * 9 + [True]
    _, second = await busy(services, "t2")
    assert not await missions.free(services, row_id, first, DONE)
    failed = Ending(success=False, seconds=5.0, error="boom\0" + "x" * 1000)
    later = timedelta(minutes=3)
    assert await missions.free(at(services, later), row_id, second, failed)
    _, third = await busy(services, "t3")
    assert await missions.free(services, row_id, third, Ending(success=False, error="expired"))
    agent = await world.get_agent("w")
    assert (agent.status, agent.tasks_completed, agent.tasks_failed) == ("idle", 1, 2)
    # The third never ran, so it has no duration.
    assert agent.avg_task_duration == pytest.approx(3.5)
    assert agent.last_error == "expired"
    cluster = await world.get_cluster()
    assert (cluster.tasks_completed, cluster.tasks_failed) == (1, 2)
    assert cluster.last_active == STORED_NOW


async def test_an_error_is_kept_short_and_storable(services: Services, world: World) -> None:
    """What PostgreSQL can't store is left out of `last_error`, and it is bounded."""
    await team(world)
    await world.agent("w", tasks_completed=3, avg_task_duration=1.0)
    row_id, mission_id = await busy(services)
    failed = Ending(success=False, seconds=5.0, error="boom\0" + "x" * 1000)
    await missions.free(services, row_id, mission_id, failed)
    agent = await world.get_agent("w")
    assert agent.last_error == "boom" + "x" * 496
    assert agent.avg_task_duration == pytest.approx(2.0)


async def test_who_was_to_stop_stops(services: Services, world: World) -> None:
    """The end of its mission stops a worker that a scaling has marked, and it counts no more."""
    await team(world, min_workers=1)
    await world.agent("w1")
    await world.agent("w2")
    await busy(services, "t1")
    await busy(services, "t2")
    (leaving,) = (await scale_cluster(scale(1), "s", services))["stopping"]
    mission = (await world.get_agent(leaving)).config["_pool"]["mission"]["task_id"]
    assert (await world.get_cluster()).current_workers == 2
    await missions.free(services, leaving, mission, DONE)
    agent = await world.get_agent(leaving)
    assert (agent.status, agent.stopped_at, agent.tasks_completed) == ("stopped", STORED_NOW, 1)
    assert (await world.get_cluster()).current_workers == 1


async def test_a_status_that_somebody_else_has_set_stays(services: Services, world: World) -> None:
    """An agent that failed meanwhile isn't made idle by its mission's end, which still counts."""
    await team(world)
    await world.agent("w")
    row_id, mission_id = await busy(services)
    await world.change(ClusterAgent, row_id, status="failed")
    assert await missions.free(services, row_id, mission_id, DONE)
    agent = await world.get_agent(row_id)
    assert (agent.status, agent.tasks_completed) == ("failed", 1)


async def test_mending_finds_what_nobody_heard(services: Services, world: World) -> None:
    """An agent whose mission has its answer is freed and told of; one whose runs on is left."""
    await team(world)
    await world.agent("w1")
    await world.agent("w2")
    await world.agent("w3", status="busy")
    (row_id, mission_id), (other, _) = [await busy(services, f"t{n}") for n in range(2)]
    assert await missions.mend(services) == []
    await store(services, mission_id, success=True, duration_ms=1000)
    assert await missions.mend(services, "demo") == []
    assert await missions.mend(services, "c") == [
        f"Agent {row_id} was still busy with mission {mission_id}, which has ended; it is freed."
    ]
    assert await missions.mend(services) == []
    freed = await world.get_agent(row_id)
    assert (freed.status, freed.tasks_completed) == ("idle", 1)
    assert (await world.get_agent(other)).status == "busy"
    assert (await world.get_agent("w3")).status == "busy"


async def test_a_search_finds_what_is_nowhere(services: Services, world: World) -> None:
    """A mission that waits keeps its agent; one that is gone without an answer doesn't."""
    await team(world)
    await world.agent("w1")
    await world.agent("w2")
    (waits, _), (gone, lost) = [await busy(services, f"t{n}") for n in range(2)]
    await services.redis.ltrim(keys.MISSION_QUEUE, 0, 0)
    soon, later = (at(services, timedelta(minutes=minutes)) for minutes in (9, 11))
    assert await missions.mend(soon, search=True) == []
    assert await missions.mend(later) == []
    assert await missions.mend(later, search=True) == [
        f"Agent {gone} was still busy with mission {lost}, which is nowhere any more; it is freed."
    ]
    assert (await world.get_agent(waits)).status == "busy"
    freed = await world.get_agent(gone)
    assert (freed.status, freed.tasks_failed) == ("idle", 1)


async def test_mending_gives_up_what_was_never_heard_of(services: Services, world: World) -> None:
    """A mission that can't end any more, whose answer is gone, counts as failed after a day."""
    await team(world)
    await world.agent("w")
    row_id, mission_id = await busy(services)
    assert await missions.mend(at(services, timedelta(hours=24, minutes=50))) == []
    (finding,) = await missions.mend(at(services, timedelta(hours=25, minutes=2)))
    assert finding == (
        f"Agent w was still busy with mission {mission_id}, of which nothing was heard since "
        "2024-02-17 10:30:00 UTC; it is freed."
    )
    agent = await world.get_agent(row_id)
    assert (agent.status, agent.tasks_failed) == ("idle", 1)
    assert agent.last_error == f"nothing was heard of mission {mission_id}"


async def test_mending_stops_who_was_freed_by_somebody_else(
    services: Services, world: World
) -> None:
    """A worker that was to stop, and that the backend has made idle, stops after all."""
    await team(world)
    await world.agent("w1", status="busy")
    await world.agent("w2", status="busy")
    (leaving,) = (await scale_cluster(scale(1), "s", services))["stopping"]
    assert await missions.mend(services) == []
    await world.change(ClusterAgent, leaving, status="idle")
    assert await missions.mend(services) == [
        f"Agent {leaving} was to stop when its task ended, which it has; it is stopped."
    ]
    assert (await world.get_agent(leaving)).status == "stopped"
    assert (await world.get_cluster()).current_workers == 1


async def test_marks_of_others_are_no_hindrance(services: Services, world: World) -> None:
    """What somebody else has written where the pool notes something counts as nothing."""
    await team(world)
    for number, pool in enumerate([5, {"mission": {"task_id": 1}}, {"given": "x"}]):
        config = {"_pool": pool, "kept": number}
        await world.agent(f"w{number}", status="idle", config=config)
        await busy(services, f"t{number}")
    assert await missions.mend(services) == []
    agents = await world.agents()
    assert [agent.config["kept"] for agent in agents] == [0, 1, 2]
    assert {agent.status for agent in agents} == {"busy"}


async def test_an_agent_that_is_gone_is_no_error(services: Services, world: World) -> None:
    """The end of a mission whose agent was deleted is nobody's."""
    await team(world)
    assert not await missions.free(services, "nobody", "mission-x", DONE)
