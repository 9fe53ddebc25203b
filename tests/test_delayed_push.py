"""`TaskQueue.push_task` with a time, a bound of attempts, or an end."""

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from runtime import TaskQueue
from runtime.errors import InvalidTaskError, RequestRefusedError
from runtime.redis import keys
from tests.servers import Valkey

QUEUE = keys.CLUSTER_QUEUE


@pytest.fixture
def server(valkey_server: Valkey) -> Valkey:
    """A server with nothing in it."""
    valkey_server.reset()
    return valkey_server


def push(server: Valkey, **terms: Any) -> str:
    async def pushed() -> str:
        async with TaskQueue(server.url) as queue:
            return await queue.push_task("t", {"n": 1}, **terms)

    return asyncio.run(pushed())


def clock(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6


def test_a_delayed_task_waits_by_the_servers_clock(server: Valkey) -> None:
    """It isn't in the queue but among the delayed ones, due so many seconds from now."""
    with server.client() as client:
        before = clock(client)
        task_id = push(server, delay=3600)
        after = clock(client)

        assert client.llen(QUEUE) == 0
        ((raw, due),) = client.zrange(keys.delayed(QUEUE), 0, -1, withscores=True)
        assert json.loads(raw)["id"] == task_id
        assert before + 3600 - 0.002 <= due / 1000 <= after + 3600 + 0.002


def test_a_task_waits_for_a_moment(server: Valkey) -> None:
    """`at` is the moment itself, in any zone, and never a millisecond earlier."""
    at = datetime(2124, 2, 17, 10, 30, 0, 500, tzinfo=UTC).astimezone()
    with server.client() as client:
        push(server, at=at)

        ((_, due),) = client.zrange(keys.delayed(QUEUE), 0, -1, withscores=True)
        assert due == math.ceil(at.timestamp() * 1000)


def test_equal_delayed_tasks_stay_two(server: Valkey) -> None:
    """Two pushes of one id, delayed alike, are two tasks (I1)."""
    with server.client() as client:
        for _ in range(2):
            push(server, task_id="same", at=datetime(2124, 1, 1, tzinfo=UTC))

        assert client.zcard(keys.delayed(QUEUE)) == 2


def test_what_a_task_says_of_its_runs_is_in_its_body(server: Valkey) -> None:
    """Attempts, time-out and end go with the task, which lies in the queue at once."""
    with server.client() as client:
        push(server, expires_in=60, max_attempts=7, timeout=1.5)

        task = json.loads(client.lindex(QUEUE, 0))
        assert (task["max_attempts"], task["timeout"]) == (7, 1.5)
        lasts = datetime.fromisoformat(task["expires_at"]) - datetime.fromisoformat(
            task["created_at"]
        )
        assert lasts == timedelta(seconds=60)
        assert "nonce" not in task


def test_a_full_server_refuses_a_delayed_task(server: Valkey) -> None:
    """A producer is told, as with a plain push, and nothing is queued."""
    with server.client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(RequestRefusedError):
            push(server, delay=1)

        assert client.zcard(keys.delayed(QUEUE)) == 0


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"delay": -1}, "delay"),
        ({"delay": math.nan}, "delay"),
        ({"delay": math.inf}, "delay"),
        ({"delay": "5"}, "delay"),
        ({"delay": True}, "delay"),
        ({"delay": 1, "at": datetime(2124, 1, 1, tzinfo=UTC)}, "at"),
        ({"at": datetime(2124, 1, 1)}, "zone"),  # noqa: DTZ001 - the fault
        ({"at": "2124-01-01T00:00:00Z"}, "at"),
        ({"expires_in": 0}, "expires_in"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1.5}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"timeout": 0}, "timeout"),
        ({"unique_for": 0, "task_id": "t"}, "unique_for"),
        ({"unique_for": 5}, "without an id"),
    ],
)
def test_wrong_terms_are_refused_in_words(
    server: Valkey, terms: dict[str, Any], words: str
) -> None:
    """One sentence names what was given and what was expected; nothing is sent."""
    with server.client() as client:
        with pytest.raises(InvalidTaskError, match=words):
            push(server, **terms)

        assert client.keys("*") == []
