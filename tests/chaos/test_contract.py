"""The contract as a black box: a worker process, and nothing but bytes on a socket."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.fleet import Fleet
from tests.chaos.resp import Resp
from tests.servers import Valkey

_TASK = (
    b'{"id": "uuid-v4", "type": "spawn_agent",\n'
    b' "payload": {"cluster_id": "marketing-001", "agent_def": {"role": "worker",'
    b' "name": "Content Creator", "capabilities": ["copywriting"]}},\n'
    b' "created_at": "2024-02-17T10:30:00Z"}'
)

_SNIPPET = """
import asyncio


async def main():
    from runtime import TaskQueue

    queue = TaskQueue()                       # REDIS_URL from the environment
    await queue.connect()                     # some callers leave this out: the first call connects
    task_id = await queue.push_task("spawn_agent", {"cluster_id": "test"})   # default queue
    length  = await queue.get_queue_length()
    result  = await queue.get_task_result(task_id, timeout=10)
    assert result["success"] is True
    await queue.close()
    assert isinstance(task_id, str) and isinstance(length, int)


asyncio.run(main())
"""


def test_a_pushed_task_is_answered_as_the_contract_says(server: Valkey, fleet: Fleet) -> None:
    """RPUSH of the contract's task yields its result key, its publication and a heartbeat."""
    worker = fleet.start()
    with Resp(server.port) as redis, Resp(server.port) as subscriber:
        subscriber.call("SUBSCRIBE", "brain:task_results")
        redis.call("RPUSH", "brain:cluster_tasks", _TASK)

        kind, channel, published = subscriber.reply()

        assert (kind, channel) == (b"message", b"brain:task_results")
        assert redis.call("GET", "brain:task:uuid-v4:result") == published
        assert 3500 < redis.call("TTL", "brain:task:uuid-v4:result") <= 3600
        result = json.loads(published)
        assert result["task_id"] == "uuid-v4"
        assert result["worker_id"] == worker.worker_id
        assert result["success"] is True
        assert result["result"] == {"cluster_id": "marketing-001"}
        assert isinstance(result["timestamp"], str)
        assert redis.call("LLEN", "brain:cluster_tasks") == 0

        key = f"brain:worker:{worker.worker_id}:heartbeat"
        assert redis.call("KEYS", "brain:worker:*:heartbeat") == [key.encode()]
        assert 0 < redis.call("TTL", key) <= 60
        beat = json.loads(redis.call("GET", key))
        assert beat["worker_id"] == worker.worker_id
        for field in ("tasks_processed", "tasks_failed", "active_tasks"):
            assert isinstance(beat[field], int)
        assert isinstance(beat["timestamp"], str)
    fleet.stop()


def test_the_tail_of_a_backlog_waits_behind_its_head(server: Valkey, fleet: Fleet) -> None:
    """The head of the list (LINDEX 0) is the next task, and LLEN the backlog."""
    with Resp(server.port) as redis, Resp(server.port) as subscriber:
        subscriber.call("SUBSCRIBE", "brain:task_results")
        for name in ("first", "second", "third"):
            redis.call("RPUSH", "brain:cluster_tasks", _TASK.replace(b"uuid-v4", name.encode()))
        assert b'"first"' in redis.call("LINDEX", "brain:cluster_tasks", "0")
        assert redis.call("LLEN", "brain:cluster_tasks") == 3

        fleet.start("--concurrency", "1")

        order = [json.loads(subscriber.reply()[2])["task_id"] for _ in range(3)]
        assert order == ["first", "second", "third"]
    fleet.stop()


def test_the_producer_snippet_runs_as_written(server: Valkey, fleet: Fleet, tmp_path: Path) -> None:
    """The contract's producer snippet works against a worker process."""
    fleet.start()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SNIPPET],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "REDIS_URL": server.url, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    fleet.stop()
