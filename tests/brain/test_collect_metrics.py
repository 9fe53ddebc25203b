"""`collect_metrics` on real servers: what is measured, stored and told, once per task."""

import asyncio
import json
from collections import Counter
from typing import Any

import attrs
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from messages import Answered
from runtime.brain.collect_metrics import agent_figures, collect_metrics, load
from runtime.brain.payloads import CollectMetrics
from runtime.brain.services import Services
from runtime.brain.tables import Cluster, ClusterMetrics
from runtime.redis import keys
from tests.brain.conftest import STORED_NOW, World
from tests.brain.orders import refusal, team
from tests.brain.test_pool_figures import beat, task
from tests.servers import free_port

pytestmark = pytest.mark.anyio

FIGURES = (
    "cpu_usage",
    "memory_usage",
    "tasks_per_minute",
    "avg_response_time",
    "error_rate",
    "queue_length",
    "queue_wait_time",
)


async def collect(services: Services, task_id: str = "t", cluster_id: str = "c") -> dict[str, Any]:
    return await collect_metrics(CollectMetrics(cluster_id), task_id, services)


async def rows(services: Services) -> list[ClusterMetrics]:
    async with AsyncSession(services.engine) as session:
        return list(await session.scalars(select(ClusterMetrics)))


async def pool(services: Services) -> None:
    """Let two workers serve BRAiN, and tasks wait."""
    minute = {
        keys.MISSION_QUEUE: Answered(3, 1, 2, 0.5),
        keys.CLUSTER_QUEUE: Answered(1, 0, 1, 1.0),
    }
    figures = {"cpu_percent": 30.0, "memory_percent": 2.0, "last_minute": minute}
    await beat(services, "a", keys.CLUSTER_QUEUE, keys.MISSION_QUEUE, **figures)
    await beat(services, "b", keys.CLUSTER_QUEUE, cpu_percent=10.0, memory_percent=1.0)
    await services.redis.rpush(keys.CLUSTER_QUEUE, task(4))
    await services.redis.rpush(keys.MISSION_QUEUE, task(90), task(80))


async def crew(world: World) -> None:
    """Give the cluster agents in each state."""
    await team(world)
    for number, status in enumerate(("busy", "busy", "idle", "failed", "stopped")):
        await world.agent(f"w{number}", status=status)


async def test_a_cluster_is_measured(services: Services, world: World) -> None:
    """One row holds what heartbeats, queues and agents tell; the cluster's load is stored."""
    await crew(world)
    await pool(services)
    answer = await collect(services)
    assert json.loads(json.dumps(answer)) == answer
    (row,) = await rows(services)
    assert answer == {
        "id": row.id,
        "cluster_id": "c",
        "timestamp": "2024-02-17T10:30:00.000Z",
        "cpu_usage": 20.0,
        "memory_usage": 1.5,
        "tasks_per_minute": 4.0,
        "avg_response_time": 500.0,
        "error_rate": 25.0,
        "active_agents": 1,
        "idle_agents": 1,
        "busy_agents": 2,
        "failed_agents": 1,
        "queue_length": 3,
        "queue_wait_time": 90.0,
        "load_percentage": 50.0,
        "notes": [],
    }
    assert row.timestamp == STORED_NOW
    columns = [*FIGURES, "active_agents", "idle_agents", "busy_agents", "failed_agents"]
    assert {name: getattr(row, name) for name in columns} == {
        name: answer[name] for name in columns
    }
    cluster = await world.get_cluster()
    assert (cluster.load_percentage, cluster.last_active) == (50.0, None)


async def test_what_is_not_measured_is_null(services: Services, world: World) -> None:
    """Without workers nothing is made up: null in the row, and a note for each figure."""
    await team(world)
    answer = await collect(services)
    (row,) = await rows(services)
    missing = FIGURES[:5]
    assert [getattr(row, name) for name in missing] == [None] * 5
    assert (row.queue_length, row.queue_wait_time) == (0, 0.0)
    assert [note.split()[0] for note in answer["notes"]] == list(missing)
    assert answer["notes"][0] == "cpu_usage isn't measured: no living worker's heartbeat tells it."


async def test_workers_that_answered_nothing_have_no_response_time(
    services: Services, world: World
) -> None:
    """No tasks a minute is a figure; their response time and error rate are none."""
    await team(world)
    await beat(services, "a", keys.CLUSTER_QUEUE)
    answer = await collect(services)
    assert answer["tasks_per_minute"] == 0.0
    assert (answer["avg_response_time"], answer["error_rate"]) == (None, None)


async def test_a_table_that_takes_no_null_gets_the_neutral_value(
    services: Services, world: World
) -> None:
    """Where the backend's column forbids null, 0 is stored, and the answer says that it is none."""
    await team(world)
    async with services.engine.begin() as connection:
        for name in FIGURES:
            alter = f"ALTER TABLE cluster_metrics ALTER {name} SET NOT NULL"
            await connection.execute(text(alter))
    answer = await collect(services)
    (row,) = await rows(services)
    assert (row.cpu_usage, answer["cpu_usage"]) == (0.0, None)
    assert answer["notes"][0] == (
        "cpu_usage isn't measured: no living worker's heartbeat tells it. "
        "The table takes no null; 0 is stored."
    )
    again = await collect(services)
    assert again["cpu_usage"] == 0.0
    assert "0 may stand for what wasn't measured in cpu_usage, " in again["notes"][-1]


async def test_a_redelivered_task_writes_one_row(services: Services, world: World) -> None:
    """Run again after all else has changed, a task answers from its row and changes nothing."""
    await crew(world)
    await pool(services)
    first = await collect(services)
    await services.redis.flushall()
    await world.change(Cluster, "c", status="destroyed", load_percentage=7.0)
    assert await collect(services) == first
    assert len(await rows(services)) == 1
    assert (await world.get_cluster()).load_percentage == 7.0


async def test_the_same_task_twice_at_once_writes_one_row(services: Services, world: World) -> None:
    """Two runs at the same time agree on one row; another task writes another."""
    await team(world)
    answers = await asyncio.gather(*(collect(services) for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    await collect(services, "other")
    assert len(await rows(services)) == 2


async def test_a_redis_that_is_gone_leaves_the_agents(services: Services, world: World) -> None:
    """Without Redis what the database knows is measured, and the rest is null."""
    await crew(world)
    gone = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    answer = await collect(attrs.evolve(services, redis=gone))
    await gone.aclose()
    assert [answer[name] for name in FIGURES] == [None] * len(FIGURES)
    assert answer["busy_agents"] == 2


async def test_what_cannot_be_measured_is_refused(services: Services, world: World) -> None:
    """An unknown, a destroyed, an unnamed and another task's cluster are rejects in words."""
    await world.cluster("gone", status="destroyed")
    await team(world)
    await collect(services, "used")
    for task_id, cluster_id, words in (
        ("t", "nowhere", "There is no cluster 'nowhere'; check cluster_id."),
        ("t", "gone", "Cluster 'gone' is destroyed; name another cluster."),
        ("t", "", "cluster_id is empty; expected a text of 1 to 64 characters."),
        ("used", "demo", "Task used has already measured cluster 'c'; push another task"),
    ):
        assert words in await refusal(collect(services, task_id, cluster_id))
    assert len(await rows(services)) == 1


def test_a_cluster_without_living_agents_has_no_load() -> None:
    """The load is the busy share of those that live; nobody is no load."""
    assert load(agent_figures(Counter(failed=3))) == 0.0
