from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import redis

from runtime.pool.figures import Look, look_at
from runtime.producer_session import Session, open_session
from runtime.redis import keys

_BODY = b'{"id": "1", "type": "a", "payload": {}, "created_at": "2024-02-17T10:30:00Z"}'
_NOW = datetime(2024, 2, 17, 10, 30, 7, tzinfo=UTC)


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[Session]:
    session = await open_session(url, 5.0, lambda: 0.5)
    try:
        yield session
    finally:
        await session.aclose()


def _look(url: str, *names: str) -> Look:
    async def look() -> Look:
        async with _session(url) as session:
            return await look_at(session, names, _NOW)

    return anyio.run(look)


def _hold(client: redis.Redis, holder: str, tasks: int, slots: int | None) -> None:
    client.zadd(keys.holders("q"), {holder: 1})
    client.rpush(keys.inflight("q", holder), *([_BODY] * tasks))
    if slots is not None:
        client.hset(keys.leases("q"), holder, f"17 {slots}")


def test_it_sees_what_waits_and_what_runs(redis_url: str) -> None:
    """What is held counts once per slot as busy, and nothing that a dead worker left does."""
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("q", _BODY, _BODY)
        _hold(client, "a#1", tasks=5, slots=2)
        _hold(client, "b#1", tasks=1, slots=4)
        _hold(client, "dead#1", tasks=3, slots=None)
    look = _look(redis_url, "q", "empty")
    queue = look.queues["q"]
    assert (queue.waiting, queue.held, queue.busy) == (2, 9, 3)
    assert (queue.head, queue.head_age) == (_BODY, 7.0)
    assert look.slots == {"a#1": 2, "b#1": 4}
    assert (look.queues["empty"].waiting, look.queues["empty"].head) == (0, None)


def test_nothing_waits_on_a_paused_queue(redis_url: str) -> None:
    """Tasks of a paused queue wait for its end, and not for a worker."""
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("q", _BODY)
        client.set(keys.paused("q"), "1")
    assert _look(redis_url, "q").queues["q"].waiting == 0


def test_a_head_that_cannot_be_read_has_no_age(redis_url: str) -> None:
    """A malformed task counts as one that waits, for an unknown time."""
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("q", b"nonsense")
    queue = _look(redis_url, "q").queues["q"]
    assert (queue.waiting, queue.head_age) == (1, None)
