"""`scale_cluster` on a real PostgreSQL: what it does, what it refuses, and that it does so once."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from actors import Reject
from runtime.brain.scale_cluster import scale_cluster
from runtime.brain.services import Services
from runtime.brain.spawn_agent import spawn_agent
from runtime.brain.tables import Cluster, ClusterAgent
from tests.brain.conftest import STORED_NOW, World
from tests.brain.orders import order, refusal, scale, team
from tests.polling import eventually_awaited

pytestmark = pytest.mark.anyio

WORKER = {"name": "Writer", "capabilities": ["copywriting"], "config": {"model": "small"}}


def ago(minutes: int) -> Any:
    return STORED_NOW - timedelta(minutes=minutes)


async def test_up_from_the_clusters_own_definition(services: Services, world: World) -> None:
    """New workers are as `config.worker` says, report to the supervisor, and are counted."""
    await team(world, config={"worker": WORKER, "colour": "red"}, current_workers=7)
    answer = await scale_cluster(scale(3), "t", services)
    assert json.loads(json.dumps(answer)) == answer
    workers = await world.agents()
    assert answer == {
        "cluster_id": "c",
        "status": "active",
        "target_workers": 3,
        "before": 0,
        "after": 3,
        "spawned": answer["spawned"],
        "resumed": [],
        "stopped": [],
        "stopping": [],
    }
    assert sorted(answer["spawned"]) == [worker.id for worker in workers]
    for worker in workers:
        assert (worker.status, worker.supervisor_id, worker.role) == ("active", "boss", "worker")
        assert worker.agent_id == f"worker-{worker.id.replace('-', '')[:12]}"
        assert (worker.config["name"], worker.config["model"]) == ("Writer", "small")
        assert worker.capabilities == ["copywriting"]
    cluster = await world.get_cluster()
    assert (cluster.current_workers, cluster.target_workers) == (3, 3)
    assert (cluster.status, cluster.last_active) == ("active", STORED_NOW)
    assert cluster.config["colour"] == "red"


async def test_up_from_the_newest_worker(services: Services, world: World) -> None:
    """Without a definition new workers are like the newest one, even if that has stopped."""
    await team(world)
    await world.agent("old", spawned_at=ago(9), capabilities=["a"], status="idle")
    pool = {"_pool": {"stopping": True}, "spawn": {"current_workers": 1}}
    config = {"name": "New", "limit": 1} | pool
    await world.agent("new", capabilities=["b"], skills=["s"], config=config, status="stopped")
    answer = await scale_cluster(scale(2), "t", services)
    assert (answer["before"], answer["after"]) == (1, 2)
    spawned = await world.get_agent(answer["spawned"][0])
    assert (spawned.capabilities, spawned.skills) == (["b"], ["s"])
    assert (spawned.config["name"], spawned.config["limit"]) == ("New", 1)
    assert "_pool" not in spawned.config


async def test_down_stops_the_idle_and_lets_the_busy_end(services: Services, world: World) -> None:
    """Free workers stop at once; a busy one goes on, marked, and still counts; roles don't."""
    await team(world)
    await world.agent("lead", "lead", status="idle", supervisor_id="boss")
    await world.agent("idle", status="idle")
    await world.agent("free", last_active=ago(2))
    await world.agent("busy", status="busy", last_active=ago(1))
    await world.agent("busier", status="busy")
    answer = await scale_cluster(scale(1), "t", services)
    assert (answer["stopped"], answer["stopping"]) == (["idle", "free"], ["busy"])
    assert (answer["before"], answer["after"]) == (4, 2)
    stopped = {"idle": "stopped", "free": "stopped", "busy": "busy", "busier": "busy"}
    assert await world.statuses() == stopped
    assert (await world.get_agent("idle")).stopped_at == STORED_NOW
    assert (await world.get_agent("lead")).status == "idle"
    cluster = await world.get_cluster()
    assert (cluster.current_workers, cluster.target_workers) == (2, 1)

    again = await scale_cluster(scale(2), "t2", services)
    assert (again["resumed"], again["spawned"], again["after"]) == (["busy"], [], 2)
    assert (await scale_cluster(scale(1), "t3", services))["stopping"] == ["busy"]


async def test_to_nothing_and_back(services: Services, world: World) -> None:
    """0 hibernates, whatever `min_workers` says; a later scaling wakes the cluster."""
    await team(world, min_workers=2, config={"worker": WORKER})
    await world.agent("w", status="idle")
    answer = await scale_cluster(scale(0), "t1", services)
    assert (answer["status"], answer["stopped"], answer["after"]) == ("hibernated", ["w"], 0)
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.hibernated_at) == ("hibernated", STORED_NOW)
    await world.change(Cluster, "c", hibernated_at=ago(60))
    asleep = await scale_cluster(scale(0), "t2", services)
    assert (asleep["before"], asleep["status"]) == (0, "hibernated")
    assert (await world.get_cluster()).hibernated_at == ago(60)

    answer = await scale_cluster(scale(2), "t3", services)
    assert (answer["status"], answer["after"]) == ("active", 2)
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.hibernated_at) == ("active", None)
    await scale_cluster(scale(0), "t4", services)
    assert (await world.get_cluster()).hibernated_at == STORED_NOW


@pytest.mark.parametrize(
    ("cluster", "target", "words"),
    [
        ({}, 11, "target_workers is 11; cluster 'c' takes 1 to 10, or 0 to hibernate."),
        ({"min_workers": 3}, 2, "target_workers is 2; cluster 'c' takes 3 to 10"),
        ({}, -1, "target_workers is -1; "),
        ({"status": "planning"}, 1, "is planning and can't be scaled; spawn its supervisor first."),
        ({"status": "destroyed"}, 0, "is destroyed and can't be scaled; name another cluster."),
        ({"status": "paused"}, 1, "is paused and can't be scaled; wait until it is active."),
        ({}, 1, "has never had a worker and its config has no 'worker'"),
        ({"config": {"worker": {}}}, 1, "config.worker of cluster 'c' can't be used (Object miss"),
        ({"config": {"worker": "Bob"}}, 1, "config.worker of cluster 'c' can't be used"),
        (
            {"config": {"worker": {"name": "a", "role": "lead"}}},
            1,
            "config.worker of cluster 'c' has the role 'lead'; expected worker, or none.",
        ),
        (
            {"config": {"worker": {"name": "a", "capabilities": [""]}}},
            1,
            "config.worker of cluster 'c'.capabilities[0] is empty",
        ),
    ],
)
async def test_what_cannot_be_scaled_is_refused(
    services: Services, world: World, cluster: dict[str, Any], target: int, words: str
) -> None:
    """Bounds, states and definitions that don't allow it are told in words; nothing changes."""
    await team(world, **cluster)
    before = await world.get_cluster()
    assert words in await refusal(scale_cluster(scale(target), "t", services))
    after = await world.get_cluster()
    assert (after.status, after.config) == (before.status, before.config)
    assert await world.count() == 1


async def test_without_a_cluster_or_a_supervisor_nobody_is_spawned(
    services: Services, world: World
) -> None:
    """The refusal names the cluster that isn't there, or says to spawn a supervisor first."""
    why = await refusal(scale_cluster(scale(1, "nowhere"), "t", services))
    assert why == "There is no cluster 'nowhere'; check cluster_id."
    await world.cluster(config={"worker": WORKER})
    assert "spawn a supervisor first" in await refusal(scale_cluster(scale(1), "t", services))
    assert (await world.get_cluster()).status == "active"


LOG_OF_STATUSES = (
    "CREATE TABLE seen (number serial, status text, change bigint)",
    """CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO seen (status, change) VALUES (NEW.status, txid_current()); RETURN NEW; END $$""",
    """CREATE TRIGGER see AFTER UPDATE OF status ON clusters
       FOR EACH ROW EXECUTE FUNCTION see()""",
)


async def test_others_see_that_a_cluster_is_scaling(services: Services, world: World) -> None:
    """`scaling_up` or `scaling_down` is committed before the work, if there is any."""
    await team(world, config={"worker": WORKER})
    async with services.engine.begin() as connection:
        for statement in LOG_OF_STATUSES:
            await connection.execute(text(statement))
    for number, target in enumerate([2, 2, 1, 0, 1]):
        await scale_cluster(scale(target), f"t{number}", services)
    async with services.engine.connect() as connection:
        rows = await connection.execute(text("SELECT status, change FROM seen ORDER BY number"))
        seen = [tuple(row) for row in rows]
    assert [status for status, _ in seen] == [
        *("scaling_up", "active"),
        *("scaling_down", "active"),
        *("scaling_down", "hibernated"),
        *("scaling_up", "active"),
    ]
    assert len({change for _, change in seen}) == len(seen)


async def announced(services: Services, world: World, task_id: str) -> asyncio.Task[Any]:
    """Begin a scaling to 2 that gets no further than its announcement while `boss` is locked."""
    scaling = asyncio.create_task(scale_cluster(scale(2), task_id, services))

    async def shown() -> bool:
        return (await world.get_cluster()).status == "scaling_up"

    await eventually_awaited(shown, what="the cluster is scaling up")
    return scaling


LOCK_BOSS = text("SELECT 1 FROM cluster_agents WHERE id = 'boss' FOR UPDATE")


async def test_cut_off_in_the_middle_a_task_ends_as_if_it_had_not(
    services: Services, world: World
) -> None:
    """Run again after its announcement, a task does what it would have done; others may too."""
    await team(world, config={"worker": WORKER})
    async with services.engine.begin() as holder:
        await holder.execute(LOCK_BOSS)
        scaling = await announced(services, world, "t")
        scaling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scaling
    assert (await world.get_cluster()).status == "scaling_up"
    other = await scale_cluster(scale(1), "other", services)
    assert (other["status"], other["after"]) == ("active", 1)
    answer = await scale_cluster(scale(2), "t", services)
    assert (answer["status"], answer["before"], answer["after"]) == ("active", 1, 2)
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.current_workers) == ("active", 2)


LOWERED = (
    """CREATE FUNCTION lower() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.status = 'scaling_up' THEN NEW.max_workers := 1; END IF; RETURN NEW; END $$""",
    "CREATE TRIGGER lower BEFORE UPDATE ON clusters FOR EACH ROW EXECUTE FUNCTION lower()",
)


async def test_what_changes_after_the_announcement_is_heeded(
    services: Services, world: World
) -> None:
    """A task that its bounds forbid by then is refused, and gives the old status back."""
    await team(world, status="hibernated", config={"worker": WORKER})
    async with services.engine.begin() as connection:
        for statement in LOWERED:
            await connection.execute(text(statement))
    assert "takes 1 to 1" in await refusal(scale_cluster(scale(2), "t", services))
    assert (await world.get_cluster()).status == "hibernated"
    assert await world.count() == 1


async def test_a_redelivered_task_gives_the_same_answer(services: Services, world: World) -> None:
    """Run again after others changed the cluster, a task says what it did and changes nothing."""
    await team(world, config={"worker": WORKER})
    up = await scale_cluster(scale(3), "up", services)
    down = await scale_cluster(scale(2), "down", services)
    await spawn_agent(order(), "s", services)
    await world.change(ClusterAgent, up["spawned"][0], status="failed")
    before = await world.statuses(), (await world.get_cluster()).config
    assert await scale_cluster(scale(3), "up", services) == up
    assert await scale_cluster(scale(2), "down", services) == down
    await world.change(Cluster, "c", status="destroyed")
    assert await scale_cluster(scale(3), "up", services) == up
    assert (await world.statuses(), (await world.get_cluster()).config) == before
    why = await refusal(scale_cluster(scale(1), "up", services))
    assert "Task up has already scaled cluster 'c' to 3" in why


async def test_who_is_given_a_mission_meanwhile_is_not_stopped(
    services: Services, world: World
) -> None:
    """A scaling waits for a delegation that has chosen a worker, and lets its mission end."""
    await team(world)
    await world.agent("w", status="idle")
    async with services.engine.begin() as delegation:
        busy = text("UPDATE cluster_agents SET status = 'busy' WHERE id = 'w'")
        await delegation.execute(busy)
        scaling = asyncio.create_task(scale_cluster(scale(0), "t", services))
        blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        await eventually_awaited(lambda: delegation.scalar(blocked), what="the scaling waits")
    answer = await scaling
    assert (answer["stopped"], answer["stopping"]) == ([], ["w"])
    assert (await world.get_agent("w")).status == "busy"


async def test_of_many_runs_of_one_task_at_once_one_counts(
    services: Services, world: World
) -> None:
    """Six runs of one task at the same time agree on its answer and spawn its workers once."""
    await team(world, config={"worker": WORKER})
    answers = await asyncio.gather(*(scale_cluster(scale(4), "t", services) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert len(await world.agents()) == 4


async def test_a_history_is_bounded(services: Services, world: World) -> None:
    """The latest 20 scalings are remembered; a task that is run again later is refused."""
    await team(world, config={"worker": WORKER})
    await scale_cluster(scale(2), "first", services)
    for number in range(20):
        await scale_cluster(scale(1 + number % 2), f"t{number}", services)
    assert len((await world.get_cluster()).config["_pool"]["scalings"]) == 20
    why = await refusal(scale_cluster(scale(9), "first", services))
    assert "has already scaled cluster 'c', too long ago to tell how" in why


async def test_scalings_at_once_take_turns(services: Services, world: World) -> None:
    """Whoever is last decides: the workers that live are those that were asked for last."""
    await team(world, config={"worker": WORKER})
    targets = [3, 0, 5, 1, 4, 2]
    answers = await asyncio.gather(
        *(scale_cluster(scale(target), f"t{target}", services) for target in targets),
        return_exceptions=True,
    )
    assert not [answer for answer in answers if isinstance(answer, Reject | Exception)]
    cluster = await world.get_cluster()
    live = [agent for agent in await world.agents() if agent.status != "stopped"]
    assert cluster.current_workers == len(live) == cluster.target_workers
    assert cluster.status == ("active" if live else "hibernated")
