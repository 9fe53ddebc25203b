"""`health_check` on real servers: what it sees, stores and says when one of them is gone."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import text

from actors import Reject
from runtime.brain.delegate_task import delegate_task
from runtime.brain.health_check import health_check
from runtime.brain.memory import Memory
from runtime.brain.payloads import HealthCheck
from runtime.brain.services import Services
from runtime.redis import keys
from tests.brain.conftest import World
from tests.brain.orders import delegation, team
from tests.brain.talks import reaching
from tests.brain.test_pool_figures import task
from tests.ollama import ollama_stand_in
from tests.servers import Postgres, Valkey, free_port, make_valkey

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with make_valkey() as server:
        yield server


async def test_a_healthy_cluster(services: Services, world: World) -> None:
    """A sound cluster scores 1, without findings, with figures and the servers' latencies."""
    await world.cluster(current_workers=1, health_score=0.2)
    await world.agent("boss", "supervisor")
    await world.agent("w1", supervisor_id="boss", status="busy")
    await world.agent("w2", supervisor_id="boss", status="stopped")
    answer = await health_check(HealthCheck("c"), services)
    assert json.loads(json.dumps(answer)) == answer
    servers = answer.pop("services")
    assert answer == {
        "cluster_id": "c",
        "cluster_status": "active",
        "health_score": 1.0,
        "healthy": True,
        "findings": [],
        "agents": {
            "total": 3,
            "active": 1,
            "idle": 0,
            "busy": 1,
            "failed": 0,
            "stopped": 1,
            "silent": 0,
        },
        "workers": {"current": 1, "min": 1, "max": 10},
        "queues": {
            "brain:cluster_tasks": {"waiting": 0, "oldest_s": None},
            "brain:mission_tasks": {"waiting": 0, "oldest_s": None},
        },
        "checked_at": "2024-02-17T10:30:00.000Z",
    }
    assert (servers.pop("ollama"), servers.pop("qdrant")) == (None, None)
    for server in servers:
        assert servers[server]["ok"] is True
        assert servers[server]["latency_ms"] > 0
    assert (await world.get_cluster()).health_score == 1.0


async def test_every_finding_is_told_and_the_score_stored(services: Services, world: World) -> None:
    """Failures and gaps in the structure are all listed, and lower the stored score."""
    await world.cluster()
    await world.agent("lost", "supervisor", status="failed", last_error="boom")
    await world.agent("lead", "lead", supervisor_id="lost")
    answer = await health_check(HealthCheck("c"), services)
    assert answer["healthy"] is False
    assert answer["findings"] == [
        "Agent lost has failed: boom.",
        "The cluster has no living supervisor.",
        "The cluster has 0 workers, fewer than 1.",
        "These agents report to nobody who lives: lead.",
    ]
    assert answer["health_score"] == pytest.approx(0.5 * 0.5 * 0.5 * 0.9, abs=1e-3)
    assert (await world.get_cluster()).health_score == answer["health_score"]


async def test_looking_is_no_activity(services: Services, world: World) -> None:
    """The check changes nothing but the score."""
    await world.cluster(status="planning", last_active=None)
    await health_check(HealthCheck("c"), services)
    cluster = await world.get_cluster()
    assert (cluster.status, cluster.last_active) == ("planning", None)


@pytest.mark.parametrize(
    ("cluster_id", "words"),
    [
        ("nowhere", "There is no cluster 'nowhere'; check cluster_id."),
        ("gone", "Cluster 'gone' is destroyed; name another cluster."),
        ("", "cluster_id is empty; expected a text of 1 to 64 characters."),
    ],
)
async def test_what_is_not_there_is_refused(
    services: Services, world: World, cluster_id: str, words: str
) -> None:
    """An unknown, a destroyed and an unnamed cluster are rejects in words."""
    await world.cluster("gone", status="destroyed")
    with pytest.raises(Reject) as caught:
        await health_check(HealthCheck(cluster_id), services)
    assert str(caught.value) == words


def impatient(services: Services) -> Services:
    return attrs.evolve(services, probe_timeout=0.2)


async def check_with(services: Services, server: Valkey) -> dict[str, Any]:
    redis = Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
    try:
        return await health_check(HealthCheck("demo"), attrs.evolve(services, redis=redis))
    finally:
        await redis.aclose()


async def test_a_redis_that_is_gone_is_a_finding(services: Services, own_valkey: Valkey) -> None:
    """With Redis gone the cluster is still looked at; the probe says why."""
    own_valkey.stop()
    answer = await check_with(services, own_valkey)
    assert answer["services"]["redis"]["ok"] is False
    assert any("Redis doesn't answer" in words for words in answer["findings"])
    assert answer["services"]["database"]["ok"] is True


async def test_a_redis_that_hangs_is_given_up(services: Services, own_valkey: Valkey) -> None:
    """A server that accepts and never answers doesn't hold the check up."""
    own_valkey.pause()
    answer = await check_with(impatient(services), own_valkey)
    own_valkey.resume()
    assert answer["services"]["redis"]["error"] == "no answer within 0.2 s"


async def test_a_database_that_is_gone_is_the_answer(
    services: Services, postgres_server: Postgres
) -> None:
    """Without the database the score is 0 and nothing is claimed about agents."""
    postgres_server.stop()
    answer = await health_check(HealthCheck("demo"), services)
    assert (answer["health_score"], answer["agents"], answer["healthy"]) == (0.0, None, False)
    assert answer["findings"][0].startswith("The database doesn't answer: ")
    assert answer["services"]["redis"]["ok"] is True


async def test_a_database_that_takes_no_connection_is_given_up(
    services: Services, postgres_server: Postgres
) -> None:
    """A server that accepts and never answers doesn't hold the check up; later it serves."""
    await services.engine.dispose()
    postgres_server.pause()
    answer = await health_check(HealthCheck("demo"), impatient(services))
    postgres_server.resume()
    assert answer["services"]["database"]["error"] == "no answer within 0.2 s"
    assert (await health_check(HealthCheck("demo"), services))["services"]["database"]["ok"]


async def test_a_connection_that_hangs_is_given_up(services: Services) -> None:
    """A pooled connection whose other end has stopped is given up, and another one is made."""
    async with services.engine.connect() as connection:
        backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    os.kill(backend, signal.SIGSTOP)
    try:
        answer = await health_check(HealthCheck("demo"), impatient(services))
        assert answer["services"]["database"]["error"] == "no answer within 0.2 s"
        assert (await health_check(HealthCheck("demo"), services))["services"]["database"]["ok"]
    finally:
        os.kill(backend, signal.SIGCONT)


async def test_ollama_and_qdrant_are_looked_at_if_configured(
    services: Services, world: World
) -> None:
    """Ollama is asked for its model, Qdrant whether it answers, each with a latency or an error."""
    await world.cluster(status="planning")
    async with ollama_stand_in() as server:
        memory = Memory(server.url)
        async with reaching(services, server.url, memory=memory) as reached:
            found = (await health_check(HealthCheck("c"), reached))["services"]
            assert found["ollama"]["ok"] is True
            assert found["ollama"]["latency_ms"] > 0
            # The stand-in is no Qdrant.
            assert "404" in found["qdrant"]["error"]
        async with reaching(services, server.url, model="llama3.2") as reached:
            answer = await health_check(HealthCheck("c"), reached)
    assert answer["health_score"] == 0.8
    assert "has no model 'llama3.2'; run `ollama pull llama3.2`" in answer["findings"][0]


async def test_servers_that_are_configured_and_gone_are_findings(
    services: Services, world: World
) -> None:
    """An Ollama and a Qdrant that refuse connections are told, and the check goes on."""
    await world.cluster(status="planning")
    url = f"http://127.0.0.1:{free_port()}"
    async with reaching(services, url, memory=Memory(url)) as reached:
        answer = await health_check(HealthCheck("c"), reached)
    ollama, qdrant = answer["findings"]
    assert ollama.startswith(f"Ollama isn't ready: Ollama at {url} refuses the connection")
    assert qdrant.startswith("Qdrant doesn't answer: ")
    assert answer["health_score"] == 0.72


async def test_a_task_that_waits_too_long_is_a_finding(services: Services, world: World) -> None:
    """The backlog and the age of its head are told; more than five minutes have a price."""
    await world.cluster(status="planning")
    await services.redis.rpush(keys.MISSION_QUEUE, task(400), task(1))
    answer = await health_check(HealthCheck("c"), services)
    assert answer["queues"][keys.MISSION_QUEUE] == {"waiting": 2, "oldest_s": 400.0}
    assert answer["findings"] == [
        "The next task of brain:mission_tasks has waited 6 min; 2 wait there."
    ]
    assert answer["health_score"] == 0.9


async def test_an_agent_of_an_ended_mission_is_freed(services: Services, world: World) -> None:
    """What no worker heard of is mended before the agents are judged, and reported."""
    await team(world)
    await world.agent("w")
    delegated = await delegate_task(delegation(), "t", services)
    mission = delegated["mission"]["task_id"]
    await services.redis.set(keys.result(mission), b'{"success":true,"duration_ms":5}')
    answer = await health_check(HealthCheck("c"), services)
    assert answer["findings"][0] == (
        f"Agent w was still busy with mission {mission}, which has ended; it is freed."
    )
    assert (answer["healthy"], answer["agents"]["busy"]) == (False, 0)
    assert (await world.get_agent("w")).status == "idle"
