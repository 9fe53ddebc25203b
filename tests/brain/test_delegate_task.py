"""`delegate_task` on real servers: whom it chooses, what it pushes, what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
from sqlalchemy import text

from actors import Reject, Retry
from runtime.brain.delegate_task import delegate_task
from runtime.brain.payloads import DelegatedTask, DelegateTask
from runtime.brain.services import Services
from runtime.brain.tables import Cluster, ClusterAgent
from runtime.redis import keys
from tests.brain.conftest import STORED_NOW, World
from tests.brain.orders import delegation, refusal, team
from tests.polling import eventually_awaited
from tests.servers import Valkey

pytestmark = pytest.mark.anyio


def ago(minutes: int) -> Any:
    return STORED_NOW - timedelta(minutes=minutes)


async def waiting(services: Services) -> list[dict[str, Any]]:
    """Return the missions that wait."""
    return [json.loads(body) for body in await services.redis.lrange(keys.MISSION_QUEUE, 0, -1)]


async def later(delegating: Any) -> str:
    """Return the words with which a delegation asks for another attempt."""
    with pytest.raises(Retry) as caught:
        await delegating
    return str(caught.value)


async def chosen(services: Services, *tasks: DelegateTask) -> list[str]:
    """Delegate and return the row ids of the agents that were chosen."""
    answers = [await delegate_task(one, f"t{n}", services) for n, one in enumerate(tasks)]
    return [answer["agent"]["id"] for answer in answers]


async def test_a_mission_is_pushed_for_a_free_agent(services: Services, world: World) -> None:
    """The agent is busy with the mission that waits; the answer names both."""
    await team(world)
    await world.agent("w", supervisor_id="boss", config={"name": "Writer"}, last_active=ago(9))
    task = delegation("Hello", type="write", timeout=5, max_attempts=2, expires_in=60)
    answer = await delegate_task(task, "t", services)
    mission_id = answer["mission"]["task_id"]
    assert (
        json.loads(json.dumps(answer))
        == answer
        == {
            "cluster_id": "c",
            "supervisor_id": "boss",
            "agent": {"id": "w", "agent_id": "w", "role": "worker", "name": "Writer"},
            "mission": {"task_id": mission_id, "type": "write", "queue": "brain:mission_tasks"},
        }
    )
    (mission,) = await waiting(services)
    assert (mission["id"], mission["type"]) == (mission_id, "write")
    assert mission["payload"] == {"message": "Hello", "agent_id": "w"}
    assert (mission["timeout"], mission["max_attempts"]) == (5, 2)
    assert "expires_at" in mission
    agent = await world.get_agent("w")
    assert (agent.status, agent.last_active) == ("busy", STORED_NOW)
    assert agent.config["_pool"]["mission"]["task_id"] == mission_id
    key = keys.mission_agent(mission_id)
    assert await services.redis.get(key) == b"w"
    assert 120 <= await services.redis.ttl(key) <= 125


async def test_a_mission_is_a_chat_and_lasts_a_day_by_default(
    services: Services, world: World
) -> None:
    """Without a type it is `agent.chat`; it expires if nobody begins it for a day."""
    await team(world)
    await world.agent("w")
    answer = await delegate_task(delegation(), "t", services)
    (mission,) = await waiting(services)
    assert mission["type"] == answer["mission"]["type"] == "agent.chat"
    assert 86_000 < await services.redis.ttl(keys.mission_agent(mission["id"])) <= 90_060


async def test_idle_first_then_whoever_worked_least(services: Services, world: World) -> None:
    """Idle before active; then the least work in all; then the longest without any."""
    await team(world)
    much = {"status": "idle", "tasks_completed": 3, "avg_task_duration": 2.0}
    await world.agent("idle-much", **much, last_active=ago(9))
    await world.agent("idle-more", **much | {"tasks_failed": 1})
    await world.agent("idle-old", status="idle", last_active=ago(3))
    await world.agent("idle-new", status="idle", last_active=ago(1))
    await world.agent("active-new", last_active=ago(1))
    await world.agent("active-old", last_active=ago(2))
    await world.agent("busy", status="busy")
    await world.agent("failed", status="failed")
    await world.agent("stopped", status="stopped")
    order = ["idle-old", "idle-new", "idle-much", "idle-more", "active-old", "active-new"]
    assert await chosen(services, *[delegation()] * 6) == order
    why = await later(delegate_task(delegation(), "late", services))
    assert why == "No agent under supervisor boss of cluster 'c' is free: all 7 are busy."


async def test_chance_decides_among_equals(services: Services, world: World) -> None:
    """Agents that are alike in all get their missions in an order that differs by task."""
    await team(world)
    for number in range(4):
        await world.agent(f"w{number}", status="idle")
    firsts = set()
    for number in range(12):
        answer = await delegate_task(delegation(), f"task-{number}", services)
        firsts.add(answer["agent"]["id"])
        await world.change(ClusterAgent, answer["agent"]["id"], status="idle")
    assert len(firsts) > 1


async def test_role_and_capabilities_are_heeded(services: Services, world: World) -> None:
    """The agent has the role that is asked for, and each of the capabilities."""
    await team(world)
    await world.agent("w1", capabilities=["seo"])
    await world.agent("w2", capabilities=["copywriting", "seo"])
    await world.agent("s1", "specialist", capabilities=["seo", "copywriting"], status="idle")
    both = ["copywriting", "seo"]
    tasks = [
        delegation(role="worker", required_capabilities=both),
        delegation(required_capabilities=both),
        delegation(),
    ]
    assert await chosen(services, *tasks) == ["w2", "s1", "w1"]
    why = await later(delegate_task(delegation(role="lead"), "t7", services))
    assert why.startswith("No lead lives under supervisor boss of cluster 'c'; spawn one")
    busy = delegation(role="worker", required_capabilities=["seo"])
    why = await later(delegate_task(busy, "t8", services))
    assert why.startswith("No worker capable of seo under supervisor boss of cluster 'c' is free:")
    cook = delegation(required_capabilities=["cooking"])
    assert "No agent capable of cooking lives" in await later(delegate_task(cook, "t9", services))


async def test_a_lead_delegates_to_those_under_it(services: Services, world: World) -> None:
    """A lead's subordinates report to it, or to somebody who does; a supervisor's are all."""
    await team(world)
    await world.agent("lead", "lead", supervisor_id="boss")
    await world.agent("sublead", "lead", supervisor_id="lead", status="busy")
    await world.agent("deep", supervisor_id="sublead")
    await world.agent("aside", supervisor_id="boss", status="idle")
    await world.agent("orphan", last_active=ago(5))
    by_lead = delegation(supervisor_id="lead")
    assert await chosen(services, by_lead) == ["deep"]
    assert "under lead lead" in await later(delegate_task(by_lead, "t7", services))
    by_boss = delegation(supervisor_id="boss")
    answers = [await delegate_task(by_boss, f"u{n}", services) for n in range(3)]
    assert [one["agent"]["id"] for one in answers[:2]] == ["aside", "orphan"]
    assert {one["supervisor_id"] for one in answers} == {"boss"}


@pytest.mark.parametrize(
    ("cluster", "task", "words"),
    [
        ({}, delegation(cluster_id="nowhere"), "There is no cluster 'nowhere'"),
        ({}, delegation(cluster_id=""), "cluster_id is empty"),
        ({}, delegation(role="supervisor"), "target_role is 'supervisor'; expected one of lead, "),
        ({}, delegation(role="boss"), "target_role is 'boss'; expected one of lead, specialist,"),
        ({}, delegation(supervisor_id=""), "supervisor_id is empty"),
        ({}, delegation(supervisor_id="nobody"), "supervisor_id 'nobody' is no agent"),
        ({}, delegation(supervisor_id="w"), "supervisor_id 'w' is a worker; agents report to"),
        ({}, delegation(required_capabilities=[""]), "task.required_capabilities[0] is empty"),
        ({}, delegation(timeout=-1), "task.timeout is -1, expected seconds above 0"),
        ({}, delegation(expires_in=1e99), "task.expires_in is 1e+99, expected seconds above 0"),
        ({}, delegation(max_attempts=0), "task.max_attempts is 0, expected a whole number from 1"),
        ({}, delegation(type=""), "The mission can't be pushed. Nothing was sent: the task's type"),
        ({}, delegation("x" * 2**20), "The mission can't be pushed. Nothing was sent: the task's"),
        (
            {},
            DelegateTask("c", DelegatedTask({"agent_id": "w"})),
            "task.payload holds 'agent_id', which delegate_task writes itself; leave it out.",
        ),
        ({"status": "hibernated"}, delegation(), "takes no mission; wake it with scale_cluster"),
        ({"status": "destroyed"}, delegation(), "is destroyed and takes no mission; name another"),
        ({"status": "paused"}, delegation(), "is paused and takes no mission; wait until"),
    ],
)
async def test_what_cannot_be_delegated_is_refused(
    services: Services, world: World, cluster: dict[str, Any], task: DelegateTask, words: str
) -> None:
    """Fields and states that don't allow it are told in words; no agent is kept busy by it."""
    await team(world, **cluster)
    await world.agent("w", status="idle")
    assert words in await refusal(delegate_task(task, "t", services))
    agent = await world.get_agent("w")
    assert (agent.status, agent.tasks_failed) == ("idle", 0)
    assert not await waiting(services)


async def test_a_cluster_that_comes_up_is_waited_for(services: Services, world: World) -> None:
    """Planning and spawning clusters ask for another attempt; one without supervisor refuses."""
    await world.cluster(status="planning")
    assert "takes no mission yet" in await later(delegate_task(delegation(), "t", services))
    await world.change(Cluster, "c", status="active")
    assert "spawn a supervisor first" in await refusal(delegate_task(delegation(), "t", services))


async def test_a_redelivered_task_delegates_nothing_more(services: Services, world: World) -> None:
    """Run again, whatever has changed, a task gives the same answer and pushes nothing."""
    await team(world)
    await world.agent("w1", config={"name": "One"})
    await world.agent("w2")
    first = await delegate_task(delegation(), "t", services)
    assert await delegate_task(delegation(), "t", services) == first
    assert len(await waiting(services)) == 1
    await world.change(Cluster, "c", status="hibernated")
    await world.change(ClusterAgent, "boss", status="failed")
    assert await delegate_task(delegation(), "t", services) == first
    assert sorted((await world.statuses()).values()) == ["active", "busy"]
    assert len(await waiting(services)) == 1


async def somebody_busy(world: World) -> str:
    """Wait until a worker is busy, and return its row id."""

    async def busy() -> list[str]:
        return [row_id for row_id, status in (await world.statuses()).items() if status == "busy"]

    return (await eventually_awaited(busy, what="somebody is busy"))[0]


@asynccontextmanager
async def unchosen(services: Services) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Keep delegations from choosing; what is yielded waits until one is about to."""
    async with services.engine.begin() as holder:
        await holder.execute(text("LOCK TABLE cluster_agents IN ACCESS EXCLUSIVE MODE"))

        async def about_to() -> None:
            await eventually_awaited(lambda: holder.scalar(WAITING), what="one is about to choose")

        yield about_to


WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def test_a_cancellation_comes_too_late_for_a_chosen_agent(
    valkey_server: Valkey, services: Services, world: World
) -> None:
    """Cancelled between commit and push, a task still pushes: nobody is busy for nothing."""
    await team(world)
    await world.agent("w1")
    async with anyio.create_task_group() as worker:
        async with unchosen(services) as about_to:
            worker.start_soon(delegate_task, delegation(), "t", services)
            await about_to()
            valkey_server.pause()
        busy = await somebody_busy(world)
        worker.cancel_scope.cancel()
        valkey_server.resume()
    (mission,) = await waiting(services)
    assert mission["payload"]["agent_id"] == busy


async def test_a_redis_that_hangs_is_given_up_and_asked_again(
    valkey_server: Valkey, services: Services, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that gets no answer asks for another attempt, which pushes for the same agent."""
    await team(world)
    await world.agent("w1")
    await world.agent("w2")
    monkeypatch.setattr("runtime.brain.delegate_task.PUSH_S", 0.2)
    async with unchosen(services) as about_to:
        delegating = asyncio.create_task(delegate_task(delegation(), "t", services))
        await about_to()
        valkey_server.pause()
    why = await later(delegating)
    valkey_server.resume()
    assert why.startswith("Redis hasn't taken mission mission-")
    busy = await somebody_busy(world)
    monkeypatch.undo()
    assert (await delegate_task(delegation(), "t", services))["agent"]["id"] == busy
    assert len(await waiting(services)) == 1


async def test_an_agent_that_somebody_else_has_locked_is_passed_over(
    services: Services, world: World
) -> None:
    """A delegation doesn't wait for another one: it takes the next best agent."""
    await team(world)
    await world.agent("best", status="idle")
    await world.agent("next")
    async with asyncio.timeout(20), services.engine.begin() as holder:
        await holder.execute(text("SELECT 1 FROM cluster_agents WHERE id = 'best' FOR UPDATE"))
        answer = await delegate_task(delegation(), "t", services)
    assert answer["agent"]["id"] == "next"


async def test_no_two_choose_the_same_agent(services: Services, world: World) -> None:
    """Of ten delegations at once over four agents, four get one each, six ask to come again."""
    await team(world)
    for number in range(4):
        await world.agent(f"w{number}", status="idle")
    outcomes = await asyncio.gather(
        *(delegate_task(delegation(), f"t{n}", services) for n in range(10)),
        return_exceptions=True,
    )
    agents = [one["agent"]["id"] for one in outcomes if isinstance(one, dict)]
    assert len(agents) == len(set(agents))
    assert len(agents) + sum(isinstance(one, Retry) for one in outcomes) == 10
    # One that was looked at by two was passed over by one of them, for whom others were left.
    assert len(agents) == 4


async def test_two_runs_of_one_task_at_once_choose_one_agent(
    services: Services, world: World
) -> None:
    """Six runs of a task at the same time agree on its agent; one mission is pushed."""
    await team(world)
    for number in range(6):
        await world.agent(f"w{number}", status="idle")
    for number in range(1, 6):
        runs = (delegate_task(delegation(), f"t{number}", services) for _ in range(6))
        answers = await asyncio.gather(*runs)
        assert all(answer == answers[0] for answer in answers)
        assert sorted((await world.statuses()).values()) == ["busy"] * number + ["idle"] * (
            6 - number
        )
        assert len(await waiting(services)) == number


async def test_a_push_that_is_refused_frees_the_agent(services: Services, world: World) -> None:
    """On a full server nothing is pushed, so nobody is kept busy until the next attempt."""
    await team(world)
    await world.agent("w", status="idle")
    await services.redis.config_set("maxmemory", 1)
    with pytest.raises(Exception, match=r"OOM|maxmemory"):
        await delegate_task(delegation(), "t", services)
    assert (await world.get_agent("w")).status == "idle"
    await services.redis.config_set("maxmemory", 0)
    assert (await delegate_task(delegation(), "t", services))["agent"]["id"] == "w"
    assert len(await waiting(services)) == 1


async def test_one_task_id_for_two_clusters_is_refused(services: Services, world: World) -> None:
    """A second task with a used id neither repeats its mission nor keeps an agent busy."""
    await team(world)
    await world.agent("w")
    await world.cluster("other")
    await world.agent("boss2", "supervisor", cluster_id="other")
    await world.agent("w2", cluster_id="other", status="idle")
    await delegate_task(delegation(), "t", services)
    with pytest.raises(Reject, match="was delegated before"):
        await delegate_task(delegation(cluster_id="other"), "t", services)
    assert "mission" not in (await world.get_agent("w2")).config.get("_pool", {})
    assert (await world.get_agent("w2")).status == "idle"
    assert len(await waiting(services)) == 1
