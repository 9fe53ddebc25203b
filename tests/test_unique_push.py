"""A push that can be repeated: the second one of an id is none, and says so."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from runtime import TaskQueue
from runtime.errors import RequestRefusedError
from runtime.memory import MemoryBroker, MemoryTaskQueue
from runtime.outgoing import TaskId
from runtime.redis import keys
from tests.brokers.faults import MARK, breaking, changed, injecting
from tests.servers import Valkey

QUEUE = keys.CLUSTER_QUEUE


def push(server: Valkey, times: int = 1, **terms: Any) -> list[TaskId]:
    """Push side by side."""

    async def pushed() -> list[TaskId]:
        async with TaskQueue(server.url) as queue:
            pushes = (queue.push_task("t", {}, **terms) for _ in range(times))
            return list(await asyncio.gather(*pushes))

    return asyncio.run(pushed())


@pytest.mark.parametrize("delay", [None, 3600], ids=["now", "later"])
def test_of_many_pushes_one_counts(valkey_server: Valkey, delay: float | None) -> None:
    """Twenty at once: one task; for as long as was said; another id, or queue, is another task."""
    valkey_server.reset()
    with valkey_server.client() as client:
        ids = push(valkey_server, 20, task_id="a", unique_for=60, delay=delay)

        assert set(ids) == {"a"}
        assert sorted(one.duplicate for one in ids) == [False] + [True] * 19
        assert 0 < client.pttl(keys.unique(QUEUE, "a")) <= 60_000
        (other,) = push(valkey_server, task_id="b", unique_for=60, delay=delay)
        (elsewhere,) = push(valkey_server, task_id="a", unique_for=60, queue="q", delay=delay)
        assert (other.duplicate, elsewhere.duplicate) == (False, False)
        client.delete(keys.unique(QUEUE, "a"))
        (again,) = push(valkey_server, task_id="a", unique_for=60, delay=delay)
        assert not again.duplicate
        assert client.llen(QUEUE) + client.zcard(keys.delayed(QUEUE)) == 3


@pytest.mark.parametrize("delay", [None, 3600], ids=["now", "later"])
def test_an_error_at_any_call_pushes_all_or_nothing(
    valkey_server: Valkey, delay: float | None
) -> None:
    """A push that was refused has queued nothing, and can be repeated."""
    for fault in count(1):
        valkey_server.reset()
        with valkey_server.client() as client:
            with injecting(fault), suppress(RequestRefusedError):
                push(valkey_server, task_id="a", unique_for=60, delay=delay)
            met = client.delete(MARK)
            queued = client.llen(QUEUE) + client.zcard(keys.delayed(QUEUE))
            assert queued == client.exists(keys.unique(QUEUE, "a")) == (0 if met else 1)
        if not met:
            break
    assert fault == (4 if delay is None else 5)


@pytest.mark.parametrize(
    ("line", "into", "check", "delay"),
    [
        (
            "if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end",
            "",
            test_of_many_pushes_one_counts,
            None,
        ),
        (", 'PX', ARGV[2]", "", test_of_many_pushes_one_counts, None),
        (
            "redis.pcall('RPOP', KEYS[1])",
            "local _",
            test_an_error_at_any_call_pushes_all_or_nothing,
            None,
        ),
        (
            "redis.pcall('ZREM', KEYS[1], ARGV[1])",
            "local _",
            test_an_error_at_any_call_pushes_all_or_nothing,
            3600,
        ),
    ],
)
def test_a_broken_line_is_noticed(
    valkey_server: Valkey, line: str, into: str, check: Callable[..., Any], delay: float | None
) -> None:
    """The evidence that these tests look at what the script does."""
    with breaking(changed("push", line, into)), pytest.raises(AssertionError):
        check(valkey_server, delay)


def test_the_broker_in_memory_does_the_same() -> None:
    """A second push within the time is none, one afterwards is one."""

    async def pushes() -> list[bool]:
        queue = MemoryTaskQueue(MemoryBroker())
        found = []
        for pause in (59.0, 2.0, 0.0):
            one = await queue.push_task("t", {}, task_id="a", unique_for=60)
            found.append(one.duplicate)
            await anyio.sleep(pause)
        assert await queue.get_queue_length() == 2
        return found

    clock = MockClock(autojump_threshold=0)
    found = anyio.run(pushes, backend="trio", backend_options={"clock": clock})
    assert found == [False, True, False]
