"""A worker is killed after its handlers have done their work and before their answers are stored.

The server of the queues stands still in between, so that the answers can't get out.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from redis.client import PubSub
from sqlalchemy import text

from messages import encode_task
from runtime.brain.memory import Memory
from runtime.brain.memory_entries import Subject
from runtime.brain.services import Services
from runtime.brain.tables import ClusterMetrics
from runtime.redis import keys
from tests.brain.conftest import World
from tests.brain.orders import team
from tests.brain.test_collect_metrics import rows
from tests.cli.commands import Queue, Worker
from tests.ollama import LETTERS, OllamaStandIn, ollama_stand_in
from tests.polling import eventually_async, eventually_awaited
from tests.servers import Valkey, make_valkey

pytestmark = pytest.mark.anyio

MESSAGE = "I drink tea"
UNTOUCHED = 0.123


@frozen
class Scene:
    """A cluster, and servers that two workers use one after the other."""

    directory: Path
    services: Services
    world: World
    valkey: Valkey
    ollama: OllamaStandIn
    database_url: str

    def worker(self) -> Worker:
        """Start a worker of BRAiN's handlers that can run three tasks at once."""
        data = str(self.directory / "data")
        return Worker(
            self.directory,
            *("--handlers", "brain", "--concurrency", "3", "--data-dir", data),
            REDIS_URL=self.valkey.url,
            DATABASE_URL=self.database_url,
            OLLAMA_HOST=self.ollama.url,
        )

    async def recalled(self) -> list[str]:
        """Return what the agent has in mind, as another task would be told."""
        vector = [float(MESSAGE.lower().count(letter)) for letter in LETTERS]
        about = Subject("boss", "nomic-embed-text", vector, "another task")
        memory = Memory(directory=self.directory / "data" / "qdrant")
        return [exchange.message for exchange in await memory.recall(about)]

    async def all_is_written(self) -> bool:
        """Say whether all three handlers have done their work."""
        score = (await self.world.get_cluster()).health_score
        return bool(score != UNTOUCHED and await rows(self.services) and await self.recalled())

    async def kill_before_it_answers(self, worker: Worker) -> None:
        """Hold the handlers up, stop the server, let the handlers go on, and kill their worker."""
        async with self.services.engine.begin() as holder:
            await holder.execute(text("SELECT 1 FROM clusters WHERE id = 'c' FOR NO KEY UPDATE"))
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

            async def all_have_begun() -> bool:
                return await holder.scalar(waiting) == 2 and bool(self.ollama.chats())

            await eventually_awaited(all_have_begun)
            self.valkey.pause()
        assert self.ollama.hold is not None
        self.ollama.hold.set()
        await eventually_awaited(self.all_is_written)
        worker.signal(signal.SIGKILL)
        worker.end()
        self.valkey.resume()


@pytest.fixture
async def scene(
    tmp_path: Path, services: Services, world: World, database_url: str
) -> AsyncIterator[Scene]:
    await team(world, min_workers=0, health_score=UNTOUCHED)
    with make_valkey() as valkey:
        async with ollama_stand_in() as ollama:
            ollama.hold = asyncio.Event()
            yield Scene(tmp_path, services, world, valkey, ollama, database_url)


def columns(row: ClusterMetrics) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in ClusterMetrics.__table__.columns}


def push(queue: Queue, task_type: str, **payload: Any) -> str:
    """Push a task that was made just now: an old one would be a finding of `health_check`."""
    made = datetime.now(UTC)
    queue.client.rpush(
        queue.name,
        encode_task(task_id=task_type, task_type=task_type, payload=payload, created_at=made),
    )
    return task_type


def heard(published: PubSub) -> list[str]:
    """Return the ids of the tasks that were answered, as whoever listens hears them."""
    found = []
    while message := published.get_message(timeout=0.1):
        if message["type"] == "message":
            found.append(json.loads(message["data"])["task_id"])
    return found


async def test_a_worker_killed_before_it_answers_changes_nothing_twice(scene: Scene) -> None:
    """After SIGKILL between commit and answer, the next run leaves one row, one score, one memory.

    Each task is answered once, and what it answers is what the first run has stored.
    """
    with ExitStack() as stack:
        clusters = stack.enter_context(Queue(scene.valkey.url))
        missions = stack.enter_context(Queue(scene.valkey.url, keys.MISSION_QUEUE))
        published = stack.enter_context(clusters.client.pubsub())
        published.subscribe(keys.RESULTS_CHANNEL)
        health = push(clusters, "health_check", cluster_id="c")
        metrics = push(clusters, "collect_metrics", cluster_id="c")
        said = push(missions, "agent.chat", message=MESSAGE, agent_id="boss", memory=True)
        with scene.worker() as first:
            await scene.kill_before_it_answers(first)
        (row,) = await rows(scene.services)
        score = (await scene.world.get_cluster()).health_score
        with scene.worker() as second:
            found = [
                await eventually_async(lambda task=task: clusters.result(task))
                for task in (health, metrics, said)
            ]
            second.signal()
            assert await asyncio.to_thread(second.end) == 0, second.log()
        assert sorted(heard(published)) == sorted([health, metrics, said])
    checked, measured, chatted = (answer["result"] for answer in found)
    assert checked["health_score"] == score == (await scene.world.get_cluster()).health_score
    (still,) = await rows(scene.services)
    assert columns(still) == columns(row)
    assert (measured["id"], measured["cpu_usage"]) == (row.id, row.cpu_usage)
    assert row.cpu_usage is not None
    assert chatted["memory"] == {"used": True, "recalled": 0, "remembered": True, "why": None}
    assert await scene.recalled() == [MESSAGE]
    assert len(scene.ollama.chats()) == 2
