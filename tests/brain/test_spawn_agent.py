"""`spawn_agent` on a real PostgreSQL: what it writes, what it refuses, and that it does so once."""

import json
from typing import Any

import pytest

from runtime.brain.payloads import AgentDef, SpawnAgent
from runtime.brain.services import Services
from runtime.brain.spawn_agent import spawn_agent
from tests.brain.conftest import STORED_NOW, World
from tests.brain.orders import order, refusal, team

pytestmark = pytest.mark.anyio


async def test_a_worker_is_written_with_all_that_its_task_says(
    services: Services, world: World
) -> None:
    """A worker's row holds what the task gave; it reports to the cluster's supervisor."""
    await team(world)
    wanted = order(skills=["seo"], config={"model": "small", "limits": [1, 2.5, None]})
    answer = await spawn_agent(wanted, "task-1", services)
    row = await world.get_agent(answer["id"])
    assert answer == {
        "id": row.id,
        "agent_id": f"worker-{row.id.replace('-', '')[:12]}",
        "cluster_id": "c",
        "role": "worker",
        "name": "Content Creator",
        "status": "active",
        "supervisor_id": "boss",
        "current_workers": 1,
    }
    assert json.loads(json.dumps(answer)) == answer
    assert (row.agent_id, row.role, row.status) == (answer["agent_id"], "worker", "active")
    assert (row.capabilities, row.skills) == (["copywriting"], ["seo"])
    assert row.config["name"] == "Content Creator"
    assert row.config["limits"] == [1, 2.5, None]
    assert (row.spawned_at, row.last_active, row.stopped_at) == (STORED_NOW, STORED_NOW, None)
    assert (row.health_score, row.tasks_completed, row.tasks_failed) == (1.0, 0, 0)


async def test_counters_follow_the_workers_that_live(services: Services, world: World) -> None:
    """`current_workers` counts living workers: not the failed, the stopped, or other roles."""
    await team(world, current_workers=7)
    await world.agent("w1", status="idle")
    await world.agent("w2", status="failed")
    await world.agent("w3", status="stopped")
    await world.agent("lead", "lead", supervisor_id="boss")
    await spawn_agent(order(), "t1", services)
    cluster = await world.get_cluster()
    assert cluster.current_workers == 2
    assert cluster.last_active == STORED_NOW
    answer = await spawn_agent(order("specialist"), "t2", services)
    assert answer["current_workers"] == 2


@pytest.mark.parametrize("status", ["planning", "spawning"])
async def test_a_supervisor_brings_a_cluster_up(
    services: Services, world: World, status: str
) -> None:
    """A planned or spawning cluster is active, and started, once its supervisor stands."""
    await world.cluster(status=status)
    answer = await spawn_agent(order("supervisor"), "t", services)
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.started_at) == ("active", STORED_NOW)
    assert (cluster.current_workers, answer["supervisor_id"]) == (0, None)


async def test_a_lead_alone_does_not_bring_a_cluster_up(services: Services, world: World) -> None:
    """Without a supervisor a spawning cluster stays so, even when its lead gets a worker."""
    await world.cluster(status="spawning")
    await world.agent("lead", "lead")
    await spawn_agent(order(supervisor_id="lead"), "t", services)
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.started_at) == ("spawning", None)


async def test_a_cluster_that_is_scaling_keeps_its_status(services: Services, world: World) -> None:
    """Only what is planned or spawning becomes active: a scaling cluster goes on scaling."""
    await team(world, status="scaling_up")
    await spawn_agent(order(), "t", services)
    assert (await world.get_cluster()).status == "scaling_up"


async def test_a_scaling_down_cluster_takes_leads_but_no_workers(
    services: Services, world: World
) -> None:
    """A worker would undo the scaling down; only workers are scaled."""
    await team(world, status="scaling_down")
    await spawn_agent(order("lead"), "t1", services)
    why = await refusal(spawn_agent(order(), "t2", services))
    assert why == "Cluster 'c' is scaling_down and takes no worker; wait until it is active."


@pytest.mark.parametrize(
    ("role", "status", "advice"),
    [
        (role, status, advice)
        for role in ("supervisor", "lead", "specialist", "worker")
        for status, advice in (
            ("hibernated", "scale_cluster"),
            ("destroying", "another cluster"),
            ("destroyed", "another cluster"),
            ("paused", "until it is active"),
        )
        if (role, status) != ("supervisor", "hibernated")
    ],
)
async def test_a_cluster_that_sleeps_or_ends_takes_nobody(
    services: Services, world: World, role: str, status: str, advice: str
) -> None:
    """Hibernated, destroying, destroyed and statuses that we don't know refuse every role."""
    await world.cluster(status=status)
    why = await refusal(spawn_agent(order(role), "t", services))
    assert f"Cluster 'c' is {status} and takes no {role}" in why
    assert advice in why
    assert await world.count() == 0


async def test_a_hibernated_cluster_takes_a_supervisor_if_it_has_none(
    services: Services, world: World
) -> None:
    """Without one it couldn't be woken; it goes on sleeping, and has one at most."""
    await world.cluster(status="hibernated")
    await spawn_agent(order("supervisor"), "t1", services)
    assert (await world.get_cluster()).status == "hibernated"
    assert "already has a supervisor" in await refusal(
        spawn_agent(order("supervisor"), "t2", services)
    )


async def test_an_unknown_cluster_is_refused(services: Services) -> None:
    """The refusal names the cluster that doesn't exist."""
    why = await refusal(spawn_agent(order(cluster_id="nowhere"), "t", services))
    assert why == "There is no cluster 'nowhere'; check cluster_id."


async def test_a_second_supervisor_is_refused(services: Services, world: World) -> None:
    """A cluster has one living supervisor."""
    await team(world)
    why = await refusal(spawn_agent(order("supervisor"), "t", services))
    assert "already has a supervisor, boss" in why
    assert await world.count() == 1


@pytest.mark.parametrize("status", ["failed", "stopped"])
async def test_a_lost_supervisor_is_replaced(services: Services, world: World, status: str) -> None:
    """The new supervisor takes over whoever reported to the lost one, or to nobody."""
    await world.cluster()
    await world.agent("old", "supervisor", status=status)
    await world.agent("lead", "lead", supervisor_id="old")
    await world.agent("under-lead", supervisor_id="lead")
    await world.agent("orphan")
    await world.agent("gone", supervisor_id="old", status="stopped")
    answer = await spawn_agent(order("supervisor"), "t", services)
    assert (await world.get_agent("lead")).supervisor_id == answer["id"]
    assert (await world.get_agent("orphan")).supervisor_id == answer["id"]
    assert (await world.get_agent("under-lead")).supervisor_id == "lead"
    assert (await world.get_agent("gone")).supervisor_id == "old"


async def test_a_full_cluster_refuses_workers_alone(services: Services, world: World) -> None:
    """`max_workers` bounds workers; leads and specialists don't count."""
    await team(world, max_workers=1)
    await spawn_agent(order(), "t1", services)
    why = await refusal(spawn_agent(order(), "t2", services))
    assert "has 1 workers of at most 1" in why
    assert "max_workers" in why
    await spawn_agent(order("specialist"), "t3", services)
    assert (await world.get_cluster()).current_workers == 1


async def test_without_a_supervisor_nobody_else_is_spawned(
    services: Services, world: World
) -> None:
    """The refusal says to spawn a supervisor first."""
    await world.cluster()
    why = await refusal(spawn_agent(order("lead"), "t", services))
    assert "spawn a supervisor first" in why


async def test_an_agent_may_report_to_a_lead(services: Services, world: World) -> None:
    """A named lead is kept as the one that the agent reports to."""
    await team(world)
    await world.agent("lead", "lead", supervisor_id="boss")
    answer = await spawn_agent(order(supervisor_id="lead"), "t", services)
    assert answer["supervisor_id"] == "lead"
    assert (await world.get_agent(answer["id"])).supervisor_id == "lead"


async def test_whom_an_agent_may_not_report_to(services: Services, world: World) -> None:
    """A superior that is unknown, foreign, of another role or not alive is refused in words."""
    await team(world)
    await world.cluster("other")
    await world.agent("foreign", "supervisor", cluster_id="other")
    await world.agent("peer", "worker")
    await world.agent("tired", "lead", status="stopped")
    expected = {
        "nobody": "is no agent",
        "foreign": "is an agent of another cluster, 'other'",
        "peer": "is a worker",
        "tired": "is stopped",
    }
    for superior, words in expected.items():
        why = await refusal(spawn_agent(order(supervisor_id=superior), "t", services))
        assert why.startswith(f"supervisor_id '{superior}' {words}")
    why = await refusal(spawn_agent(order("supervisor", supervisor_id="boss"), "t", services))
    assert why == "A supervisor reports to nobody; leave out supervisor_id."


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (order("boss"), "agent_def.role is 'boss'; expected one of supervisor, lead, specialist"),
        (order("Worker"), "agent_def.role is 'Worker'"),
        (order(cluster_id=""), "cluster_id is empty"),
        (order(cluster_id="x" * 65), "cluster_id has 65 characters; expected at most 64"),
        (order(cluster_id="a\0b"), "cluster_id contains a NUL character"),
        (order(supervisor_id=" "), "supervisor_id is empty"),
        (order(name="\n "), "agent_def.name is empty"),
        (order(name="x" * 201), "agent_def.name has 201 characters; expected at most 200"),
        (order(name="a\0"), "agent_def.name contains a NUL character"),
        (order(name="a\ud800"), "agent_def.name contains half a surrogate pair"),
        (order(capabilities=["a", ""]), "agent_def.capabilities[1] is empty"),
        (order(capabilities=["a"] * 101), "agent_def.capabilities has 101 entries"),
        (order(skills=["\0"]), "agent_def.skills[0] contains a NUL"),
        (order(config={"a": [{"b": "\0"}]}), "agent_def.config.a[0].b contains a NUL"),
        (order(config={"\0": 1}), "a key of agent_def.config contains a NUL"),
        (order(config={"a": float("nan")}), "agent_def.config.a is nan"),
        (order(config={"a": "x" * 70_000}), "agent_def.config is 70009 characters of JSON"),
        (order(config={"name": "Other"}), "agent_def.config holds 'name'"),
        (order(config={"spawn": 1}), "agent_def.config holds 'spawn'"),
        (order(config={"_pool": {}}), "agent_def.config holds '_pool'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
async def test_what_cannot_be_stored_is_refused(
    services: Services, world: World, wanted: SpawnAgent, words: str
) -> None:
    """Each unusable field is named, with what came and what was expected, and nothing written."""
    await team(world)
    assert words in await refusal(spawn_agent(wanted, "t", services))
    assert await world.count() == 1


async def test_a_deep_config_is_refused(services: Services) -> None:
    """A config nested beyond measure is refused before any recursion hurts."""
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    why = await refusal(spawn_agent(order(config=deep), "t", services))
    assert "nested more than 32 levels deep" in why


async def test_other_scripts_are_stored_as_they_came(services: Services, world: World) -> None:
    """Names outside ASCII and outside the first plane come back as they were."""
    await team(world)
    answer = await spawn_agent(order(name="Zoë 🧠 名前", config={"ключ": "ü"}), "t", services)
    row = await world.get_agent(answer["id"])
    assert (answer["name"], row.config["ключ"]) == ("Zoë 🧠 名前", "ü")


async def test_the_demo_cluster_takes_a_worker(services: Services, world: World) -> None:
    """The cluster of an embedded database takes the README's first worker as it is."""
    wanted = SpawnAgent("demo", AgentDef(role="worker", name="First", capabilities=[]))
    answer = await spawn_agent(wanted, "t", services)
    supervisor = await world.get_agent(answer["supervisor_id"])
    assert (supervisor.role, supervisor.cluster_id) == ("supervisor", "demo")
    assert (await world.get_cluster("demo")).current_workers == 1
