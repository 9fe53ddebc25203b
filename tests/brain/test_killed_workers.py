"""Workers that are killed after the database's commit and before the answer: as if run once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from runtime.brain.services import Services
from runtime.redis import keys
from tests.brain.conftest import World
from tests.chaos.evidence import Answers
from tests.chaos.network import bad_network
from tests.cli.commands import Queue, Worker
from tests.polling import eventually, eventually_awaited
from tests.servers import Valkey

pytestmark = pytest.mark.anyio

TURNS = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
"""Counts the runs of delegations that have the turn, and so are past their questions to Redis."""

PLACES = "~brain:*_tasks ~brain:cancelled ~{* ~brain:worker:* ~brain:mission*"
SILENCED = f"on nopass {PLACES} +@all -multi &*"
"""Access rules under which a worker can do all but store an answer, and can't find that out."""

WRITER = {"name": "Writer", "capabilities": ["copywriting"]}
DELEGATION = {"task": {"type": "write", "payload": {}}}
TASKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "spawn_agent": ({"agent_def": WRITER | {"role": "worker"}}, ["active", "idle", "idle"]),
    "scale_cluster": ({"target_workers": 3}, ["active", "idle", "idle"]),
    "delegate_task": (DELEGATION, ["busy", "idle"]),
}
"""By type: a payload, and the statuses of the workers when it is done once."""


@pytest.fixture
def worker(tmp_path: Path, database_url: str) -> Callable[[str], Worker]:
    """Starts a worker that serves the cluster queue alone: missions stay where they are."""
    arguments = ("--handlers", "brain", "--queues", keys.CLUSTER_QUEUE, "--concurrency", "3")

    def start(redis_url: str) -> Worker:
        return Worker(tmp_path, *arguments, REDIS_URL=redis_url, DATABASE_URL=database_url)

    return start


async def crew(world: World, cluster_id: str) -> None:
    """Insert a cluster with a supervisor and two idle workers."""
    await world.cluster(cluster_id, config={"worker": WRITER})
    await world.agent(f"{cluster_id}-boss", "supervisor", cluster_id=cluster_id)
    for number in range(2):
        await world.agent(f"{cluster_id}-w{number}", cluster_id=cluster_id, status="idle")


async def state(services: Services) -> list[Any]:
    """Return all that the tables hold."""
    found = []
    async with services.engine.connect() as connection:
        for table in ("clusters", "cluster_agents"):
            rows = text(f"SELECT row_to_json(t) FROM {table} t ORDER BY id")  # noqa: S608 -- constants
            found += list(await connection.scalars(rows))
    return found


async def test_killed_before_its_answer_each_task_is_done_once(
    valkey_server: Valkey,
    worker: Callable[[str], Worker],
    services: Services,
    world: World,
) -> None:
    """All is written, and pushed, by a worker that is killed then; the next one only answers."""
    with valkey_server.client() as client, Queue(valkey_server.url) as queue:
        client.execute_command("ACL", "SETUSER", "silenced", *SILENCED.split())
        tasks = {}
        for kind, (payload, _) in TASKS.items():
            await crew(world, kind)
            tasks[kind] = queue.push(kind, payload | {"cluster_id": kind})

        async def done() -> bool:
            crews = [sorted((await world.statuses(kind)).values()) for kind in TASKS]
            return crews == [statuses for _, statuses in TASKS.values()]

        with worker(valkey_server.url.replace("redis://", "redis://silenced:x@")) as first:
            first.says("The server refuses to settle tasks")
            await eventually_awaited(done, what="all is written")
            eventually(lambda: client.llen(keys.MISSION_QUEUE) == 1, what="the mission is pushed")
        assert not [task for task in tasks.values() if queue.result(task)]
        before, missions = await state(services), client.lrange(keys.MISSION_QUEUE, 0, -1)

        with Answers(valkey_server.url) as answers, worker(valkey_server.url):
            results = {kind: queue.answered(task) for kind, task in tasks.items()}
            eventually(lambda: len(answers) == 3, what="the answers are published")
        assert not answers.repeated()
        assert [result["success"] for result in results.values()] == [True] * 3, results
        assert results["scale_cluster"]["result"]["before"] == 2
        assert await state(services) == before
        assert client.lrange(keys.MISSION_QUEUE, 0, -1) == missions


async def test_killed_between_commit_and_push_a_task_delegates_once(
    valkey_server: Valkey,
    worker: Callable[[str], Worker],
    services: Services,
    world: World,
) -> None:
    """An agent is busy with a mission that its killed worker never pushed: the next one does."""
    await crew(world, "c")

    async def busy() -> bool:
        return "busy" in (await world.statuses()).values()

    with bad_network(valkey_server.socket, seed=1) as network, Queue(valkey_server.url) as queue:
        gateway = network.gateway()
        with worker(gateway.url):
            async with services.engine.begin() as holder:
                # Whoever chooses an agent waits, until nothing reaches Redis any more.
                await holder.execute(text("LOCK TABLE cluster_agents IN ACCESS EXCLUSIVE MODE"))
                task = queue.push("delegate_task", DELEGATION | {"cluster_id": "c"})
                what = "the task is about to choose an agent"
                await eventually_awaited(lambda: holder.scalar(TURNS), what=what)
                gateway.freeze()
            await eventually_awaited(busy, what="somebody is busy")
        assert queue.client.llen(keys.MISSION_QUEUE) == 0
        before = await state(services)

        with worker(valkey_server.url):
            result = queue.answered(task)["result"]
        (mission,) = [json.loads(body) for body in queue.client.lrange(keys.MISSION_QUEUE, 0, -1)]
        assert mission["id"] == result["mission"]["task_id"]
        assert mission["payload"]["agent_id"] == result["agent"]["id"]
        assert await state(services) == before
