"""Dead letters sent again: no error loses or doubles one, and each line of the script matters."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import redis

from runtime.dead_letters import DeadLetters, Selection, read_letter
from runtime.errors import RequestRefusedError
from runtime.producer_session import open_session
from runtime.redis import keys
from tests.brokers.faults import MARK, breaking, changed, injecting
from tests.servers import Valkey

Q = "q"
RAWS = [
    b'{"id":"t%d","type":"t","payload":{},"created_at":"2024-02-17T10:30:00Z"}' % n for n in (0, 1)
]


def bury(client: redis.Redis) -> None:
    for number, raw in enumerate(RAWS):
        client.xadd(keys.dead(Q), {"task": raw, "task_id": f"t{number}", "reason": "rejected"})
        client.set(keys.result(f"t{number}"), b"{}")


def requeue(server: Valkey, times: int = 1) -> list[int]:
    """Send all again so often, as they were found the first time."""

    async def sent() -> list[int]:
        session = await open_session(server.url, 5.0, lambda: 0.5)
        try:
            letters = DeadLetters(session, Q, lambda: "n")
            found = [letter async for letter in letters.find(Selection())]
            return [await letters.requeue(found) for _ in range(times)]
        finally:
            await session.aclose()

    return asyncio.run(sent())


def ids(bodies: list[bytes]) -> list[str]:
    return [f"t{number}" for body in bodies for number in (0, 1) if b'"t%d"' % number in body]


def places(client: redis.Redis) -> tuple[list[str], list[str]]:
    dead = [fields[b"task"] for _, fields in client.xrange(keys.dead(Q))]
    return ids(client.lrange(Q, 0, -1)), ids(dead)


def test_each_goes_once_and_in_order(valkey_server: Valkey) -> None:
    """Who comes second with the same letters sends nothing; old answers are forgotten (I2)."""
    valkey_server.reset()
    with valkey_server.client() as client:
        bury(client)
        assert requeue(valkey_server, 2) == [2, 0]
        assert places(client) == (["t0", "t1"], [])
        assert not client.exists(keys.result("t0"), keys.result("t1"))


def test_what_was_cancelled_when_it_was_dead_runs_again(valkey_server: Valkey) -> None:
    """A mark from before the requeue doesn't drop what was sent again."""
    valkey_server.reset()
    with valkey_server.client() as client:
        bury(client)
        client.zadd(keys.CANCELLED, {keys.result("t0"): 1, keys.result("other"): 1})
        assert requeue(valkey_server) == [2]
        assert client.zrange(keys.CANCELLED, 0, -1) == [keys.result("other").encode()]


def test_an_error_at_any_call_loses_and_doubles_nothing(valkey_server: Valkey) -> None:
    """After the error each is in one place (I1), and the next try sends the rest."""
    for fault in count(1):
        valkey_server.reset()
        with valkey_server.client() as client:
            bury(client)
            with injecting(fault), suppress(RequestRefusedError):
                requeue(valkey_server)
            met = client.delete(MARK)
            queued, dead = places(client)
            assert sorted(queued + dead) == ["t0", "t1"]
            requeue(valkey_server)
            assert places(client) == (["t0", "t1"], [])
        if not met:
            break
    assert fault == 11


@pytest.mark.parametrize(
    ("line", "into", "check"),
    [
        ("'RPUSH'", "'LPUSH'", test_each_goes_once_and_in_order),
        ("redis.pcall('DEL', key)", "", test_each_goes_once_and_in_order),
        (
            "redis.pcall('ZREM', KEYS[3], key)",
            "",
            test_what_was_cancelled_when_it_was_dead_runs_again,
        ),
        (
            "#redis.call('XRANGE', KEYS[1], ARGV[at], ARGV[at]) > 0",
            "true",
            test_each_goes_once_and_in_order,
        ),
        (
            "redis.pcall('RPOP', KEYS[2])",
            "",
            test_an_error_at_any_call_loses_and_doubles_nothing,
        ),
    ],
)
def test_a_broken_line_is_noticed(
    valkey_server: Valkey, line: str, into: str, check: Callable[[Valkey], Any]
) -> None:
    """The evidence that these tests look at what the script does."""
    with breaking(changed("requeue", line, into)), pytest.raises(AssertionError):
        check(valkey_server)


def test_foreign_entries_can_be_read() -> None:
    """What others wrote into the stream, or what an earlier version left out, is read as empty."""
    letter = read_letter(Q, "1700000000000-3", {b"task": b"\xff", b"attempts": b"many"})

    assert (letter.raw, letter.attempts, letter.errors, letter.reason) == (b"\xff", 0, (), "")
    assert letter.time.timestamp() == 1_700_000_000
