"""BRAiN's handlers in a worker's process, put together as `python -m runtime` does."""

from pathlib import Path

import pytest

from tests.brain.conftest import World
from tests.cli.commands import SAMPLE, Queue, Worker

pytestmark = pytest.mark.anyio


async def test_a_worker_that_ends_leaves_nobody_busy(
    tmp_path: Path, redis_url: str, database_url: str, world: World
) -> None:
    """A burst delegates a mission, runs it, and frees its agent before it exits with 0."""
    await world.cluster()
    await world.agent("boss", "supervisor")
    await world.agent("w")
    task = {"type": "double", "payload": {"number": 21}}
    with Queue(redis_url) as queue:
        delegation = queue.push("delegate_task", {"cluster_id": "c", "task": task})
        handlers = ("--handlers", "brain", "--handlers", f"{SAMPLE}:more", "--burst")
        variables = {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
        with Worker(tmp_path, *handlers, **variables) as worker:
            assert worker.end() == 0, worker.log()
        mission = queue.answered(delegation)["result"]["mission"]["task_id"]
        assert queue.answered(mission)["result"] == {"doubled": 42}
    agent = await world.get_agent("w")
    assert (agent.status, agent.tasks_completed) == ("idle", 1)
