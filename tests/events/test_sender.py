"""Sending events to a real server that is full, away, or loses replies."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis
from loguru import logger

from runtime.events.outbox import Outbox
from runtime.events.records import Writer
from runtime.events.sender import Sender, sending
from runtime.redis import keys
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import dialer
from runtime.redis.line import Line
from tests.polling import eventually_async
from tests.relay import relay
from tests.servers import Valkey, free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        yield found


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, from informations on."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="INFO")
    yield lines
    logger.remove(sink)


def outbox(kept: int = 10_000) -> Outbox:
    return Outbox(Writer("w"), lambda: datetime(2026, 1, 1, tzinfo=UTC), kept)


def sender(box: Outbox, url: str, kept: int = 10_000) -> Sender:
    return Sender(box, Line(dialer(url), 1.0, ReconnectBackoff(random.random, cap=0.05), url), kept)


async def test_the_stream_is_bounded(redis_url: str, client: redis.Redis) -> None:
    """All events arrive in their order, and the stream keeps about as many as it should."""
    box = outbox()
    async with sending(sender(box, redis_url, kept=100)):
        for number in range(2_500):
            box.joined(["q"], number)
    entries = client.xrange(keys.EVENTS)
    assert 100 <= len(entries) < 400
    assert [int(fields[b"slots"]) for _, fields in entries] == [*range(2_500)][-len(entries) :]
    assert entries[0][1] == {
        b"event": b"worker_started",
        b"time": b"2026-01-01T00:00:00Z",
        b"worker_id": b"w",
        b"queues": b"q",
        b"slots": entries[0][1][b"slots"],
    }


async def test_a_full_server_drops_events_and_that_is_said_once(
    redis_url: str, client: redis.Redis, said: list[str]
) -> None:
    """What a full server refuses is dropped and counted; later events are written again."""
    box = outbox()
    it = sender(box, redis_url)
    async with sending(it):
        client.set("junk", b"x" * 8_000_000)
        client.config_set("maxmemory", 1_000_000)
        for round_ in range(1, 4):
            box.joined(["q"], 0)
            await eventually_async(lambda round_=round_: it.dropped == round_)
        client.config_set("maxmemory", 0)
        box.joined(["q"], 7)
        await eventually_async(lambda: client.xlen(keys.EVENTS) == 1)
    assert [line for line in said if "Events are dropped" in line] == [said[0]]
    assert "Events are written again; 3 were dropped\n" in said


async def test_a_lost_reply_doubles_no_event(valkey_server: Valkey, client: redis.Redis) -> None:
    """After a lost reply its events count as dropped and aren't sent again; later ones are."""
    box = outbox()
    async with relay(valkey_server.socket) as between:
        it = sender(box, f"redis://127.0.0.1:{between.port}/0")
        async with sending(it):
            between.cut_after = b"XADD"
            box.joined(["q"], 1)
            await eventually_async(lambda: it.dropped == 1)
            between.cut_after = None
            box.joined(["q"], 2)
            await eventually_async(lambda: client.xlen(keys.EVENTS) == 2)
    assert [fields[b"slots"] for _, fields in client.xrange(keys.EVENTS)] == [b"1", b"2"]


async def test_an_absent_server_costs_bounded_memory_and_delays_no_end(said: list[str]) -> None:
    """With no server the newest events wait, older ones are counted, and the end comes soon."""
    box = outbox(kept=50)
    it = sender(box, f"redis://127.0.0.1:{free_port()}/0")
    async with sending(it):
        for number in range(500):
            box.joined(["q"], number)
        await eventually_async(lambda: said)
        assert len(box) <= 50
        assert it.dropped >= 450
    assert it.dropped == 500
    assert said[-1] == "500 events were dropped in all\n"
