"""`spawn_agent` run twice, at once, or cut off: one agent per task, and never one too many."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain import clusters
from runtime.brain.services import Services
from runtime.brain.spawn_agent import spawn_agent
from runtime.brain.tables import Cluster, ClusterAgent
from tests.brain.conftest import World
from tests.brain.orders import order, refusal, team
from tests.polling import eventually_async

pytestmark = pytest.mark.anyio


async def test_a_redelivered_task_gives_the_same_answer(services: Services, world: World) -> None:
    """Run again after all else has changed, a task returns its agent and changes nothing."""
    await team(world, max_workers=2)
    first = await spawn_agent(order(), "task-1", services)
    await spawn_agent(order(), "task-2", services)
    assert await spawn_agent(order(), "task-1", services) == first
    await world.change(ClusterAgent, first["id"], status="stopped", supervisor_id=None)
    await world.change(Cluster, "c", status="destroyed", current_workers=0, last_active=None)
    assert await spawn_agent(order(), "task-1", services) == first
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.current_workers, cluster.last_active) == ("destroyed", 0, None)
    assert await world.count() == 3


async def test_a_redelivered_supervisor_is_no_second_one(services: Services, world: World) -> None:
    """The supervisor that a task finds when it is run again is its own."""
    await world.cluster(status="planning")
    first = await spawn_agent(order("supervisor"), "t", services)
    assert await spawn_agent(order("supervisor"), "t", services) == first
    assert await world.count() == 1


async def test_one_task_id_for_two_agents_is_refused(services: Services, world: World) -> None:
    """Another task under a used id isn't answered with an agent that it didn't ask for."""
    await team(world)
    await world.cluster("other")
    await spawn_agent(order(), "t", services)
    why = await refusal(spawn_agent(order("lead"), "t", services))
    assert "Task t has already spawned worker-" in why
    assert "in cluster 'c'" in await refusal(spawn_agent(order("lead", "other"), "t", services))


async def test_the_same_task_twice_at_once_spawns_one_agent(
    services: Services, world: World
) -> None:
    """Two runs of one task at the same time agree on one agent."""
    await team(world)
    answers = await asyncio.gather(*(spawn_agent(order(), "t", services) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert await world.count() == 2
    assert (await world.get_cluster()).current_workers == 1


async def test_of_many_supervisors_at_once_one_is_spawned(services: Services, world: World) -> None:
    """The cluster's lock lets exactly one supervisor in."""
    await world.cluster(status="planning")
    outcomes = await asyncio.gather(
        *(spawn_agent(order("supervisor"), f"t{n}", services) for n in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Reject) for outcome in outcomes) == 5
    assert await world.count() == 1


async def test_of_many_workers_at_once_the_last_places_are_filled(
    services: Services, world: World
) -> None:
    """With two places left, exactly two of six simultaneous workers get one."""
    await team(world, max_workers=3)
    await world.agent("w1", supervisor_id="boss")
    outcomes = await asyncio.gather(
        *(spawn_agent(order(), f"t{n}", services) for n in range(6)), return_exceptions=True
    )
    counts = sorted(o["current_workers"] for o in outcomes if isinstance(o, dict))
    assert counts == [2, 3]
    assert sum(isinstance(outcome, Reject) for outcome in outcomes) == 4
    assert (await world.get_cluster()).current_workers == 3


async def test_the_lock_lets_metrics_in(services: Services, world: World) -> None:
    """Rows that refer to a locked cluster can be inserted while it is locked."""
    await team(world)
    async with AsyncSession(services.engine) as session, session.begin():
        await clusters.locked(session, "c")
        await world.agent("w1", supervisor_id="boss")
    assert await world.count() == 2


async def test_a_cancelled_spawn_leaves_nothing(services: Services, world: World) -> None:
    """Cancelled while it waits for the lock, a spawn writes nothing and gives up its place."""
    await team(world)
    pool = services.engine.pool
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with services.engine.begin() as holder:
        await holder.execute(text("SELECT 1 FROM clusters WHERE id = 'c' FOR NO KEY UPDATE"))
        spawning = asyncio.ensure_future(spawn_agent(order(), "t", services))
        while not await holder.scalar(waiting):
            pass
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning
    await eventually_async(lambda: "Current Checked out connections: 0" in pool.status())
    assert await world.count() == 1
    assert (await spawn_agent(order(), "t", services))["current_workers"] == 1
