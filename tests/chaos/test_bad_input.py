"""Bodies that no worker can run: put away in words, answered where an id can be read."""

import json
from typing import Any

import redis
from attrs import frozen

from runtime.redis import keys
from tests.chaos.evidence import Answers, inflight_keys, result_of
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push
from tests.servers import eventually

_NO = object()


@frozen
class Bad:
    """A bad body.

    Attributes:
        name: what is bad about it.
        raw: its bytes.
        says: what the reason must name.
        task_id: the id that can be read of it, if one can.
        reason: the dead letter's class of cause.
    """

    name: str
    raw: bytes
    says: str
    task_id: str | None = None
    reason: str = "malformed"


def _task(task_id: Any, **fields: Any) -> bytes:
    whole = {
        "id": task_id,
        "type": "work",
        "payload": {"ms": 1},
        "created_at": "2024-02-17T10:30:00Z",
        **fields,
    }
    return json.dumps({name: value for name, value in whole.items() if value is not _NO}).encode()


def _field(name: str, field: str, value: object, reason: str = "malformed") -> Bad:
    """Return a task that is good but for one field."""
    task_id = name.replace(" ", "-")
    return Bad(name, _task(task_id, **{field: value}), field, task_id, reason)


def _payload(name: str, raw: bytes, says: str, reason: str = "invalid_payload") -> Bad:
    """Return a task whose payload has these bytes."""
    task_id = name.replace(" ", "-")
    return Bad(name, _task(task_id, payload=[]).replace(b"[]", raw), says, task_id, reason)


_BODIES = [
    Bad("nothing", b"", "empty"),
    Bad("blanks", b"  \n ", "empty"),
    Bad("plain text", b"hello", "not JSON"),
    Bad("a truncated task", _task("cut")[:60], "not JSON"),
    Bad("bytes behind the task", _task("more") + b"}", "not JSON"),
    Bad("a byte order mark", b"\xef\xbb\xbf" + _task("bom"), "not JSON", "bom"),
    Bad("UTF-16", _task("utf-16").decode().encode("utf-16"), "UTF-8"),
    Bad("invalid UTF-8", b"\xff\xfe\x00" + _task("bytes"), "UTF-8"),
    Bad("binary", bytes(range(256)), "UTF-8"),
    Bad("Python's repr", str(json.loads(_task("quotes"))).encode(), "not JSON"),
    Bad("a number", b"5", "number"),
    Bad("a string", b'"task"', "string"),
    Bad("null", b"null", "null"),
    Bad("NaN", b"NaN", "not JSON"),
    Bad("an array", b"[" + _task("listed") + b"]", "array"),
    Bad("deep nesting", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    Bad("an empty object", b"{}", "id"),
    Bad("no id", _task(_NO), "id"),
    Bad("a number as id", _task(7), "id"),
    Bad("null as id", _task(None), "id"),
    Bad("an empty id", _task(""), "id"),
    Bad("an object as id", _task({"a": 1}), "id"),
    Bad("a lone surrogate in the id", _task("x").replace(b'"x"', b'"\\ud800"'), "id"),
    Bad("an id of 5000 characters", _task("x" * 5000), "id", "x" * 5000),
    _field("no type", "type", _NO),
    _field("a number as type", "type", 1),
    _field("an empty type", "type", ""),
    _field("a long type", "type", "t" * 5000),
    _field("an unknown type", "type", "no.such.thing", "unknown_type"),
    _field("no payload", "payload", _NO),
    _field("null as payload", "payload", None),
    _field("text as payload", "payload", "ms"),
    _field("an array as payload", "payload", [1]),
    _field("no time", "created_at", _NO),
    _field("a number as time", "created_at", 1708165800),
    _field("a word as time", "created_at", "yesterday"),
    _field("an impossible date", "created_at", "2024-02-31T10:30:00Z"),
    _field("a word as timeout", "timeout", "soon"),
    _field("a negative timeout", "timeout", -1),
    _field("no attempt at all", "attempt", 0),
    _field("a huge number of deaths", "deaths", 10**30),
    Bad(
        "a task of the past",
        _task("late", expires_at="2024-02-17T10:31:00Z"),
        "expired at 2024-02-17 10:31:00 UTC",
        "late",
        "expired",
    ),
    _payload("a payload of another shape", b'{"seconds": 1}', "ms"),
    _payload("a word for a number", b'{"ms": "many"}', "ms"),
    _payload("null for a number", b'{"ms": null}', "ms"),
    _payload("NaN in the payload", b'{"ms": NaN}', "not JSON", "malformed"),
    _payload("a lone surrogate", b'{"ms": 1, "note": "\\ud800"}', "payload", "malformed"),
    _payload("invalid UTF-8 in the payload", b'{"ms": 1, "note": "\xff"}', "UTF-8", "malformed"),
    _payload("a control character", b'{"ms": 1, "note": "\x01"}', "payload", "malformed"),
    # So deep that nothing in it can be read, its id included.
    Bad(
        "a deep payload",
        _task("deep", payload=[]).replace(b"[]", b'{"x": ' + b"[" * 9000 + b"]" * 9000 + b"}"),
        "nested too deeply",
    ),
    _payload(
        "a body of 5 MiB", b'{"ms": 1, "x": "' + b"x" * 5 * 2**20 + b'"}', "bytes", "too_large"
    ),
]


def test_each_bad_body_is_put_away_with_a_reason(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """Every bad body becomes a dead letter in words; the good tasks between them are answered."""
    assert len(_BODIES) >= 30
    worker = fleet.start()
    good = []
    for number, bad in enumerate(_BODIES):
        client.rpush(keys.CLUSTER_QUEUE, bad.raw)
        good.append(push(client, "work", {"ms": 0}, f"good-{number}"))

    dead = keys.dead(keys.CLUSTER_QUEUE)
    eventually(lambda: client.xlen(dead) >= len(_BODIES), what="every bad body is put away")
    eventually(lambda: set(good) <= set(answers.bodies), what="every good task is answered")

    letters = {fields[b"task"]: fields for _, fields in client.xrange(dead)}
    assert client.xlen(dead) == len(letters) == len(_BODIES)
    for bad in _BODIES:
        _assert_put_away(client, bad, letters[bad.raw], answers)
    assert len(answers) == len(good) + sum(bad.task_id is not None for bad in _BODIES)
    assert not answers.repeated()
    assert client.llen(keys.CLUSTER_QUEUE) == 0
    assert not inflight_keys(client)
    assert "Traceback" not in worker.log
    fleet.stop()


def _assert_put_away(
    client: redis.Redis, bad: Bad, letter: dict[bytes, bytes], answers: Answers
) -> None:
    """Check a dead letter, and the failure that answers it."""
    error = letter[b"error"].decode()
    assert letter[b"reason"].decode() == bad.reason, (bad.name, letter[b"reason"], error)
    assert bad.says in error, (bad.name, error)
    assert len(error) < 500, (bad.name, error)
    assert not any(word in error for word in ("Error", "Exception", "0x")), (bad.name, error)
    if bad.task_id is None:
        assert letter[b"task_id"] == b"", bad.name
        return
    assert letter[b"task_id"].decode() == bad.task_id
    result = result_of(client, bad.task_id)
    assert result, f"{bad.name} has no answer"
    assert result["success"] is False
    assert result["result"]["error"] == error
    assert len(answers.bodies[bad.task_id]) == 1


def test_the_last_words_of_a_killed_worker_can_be_undecodable(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """Bad bodies that lie in a dead worker's inflight list are put away, and good ones run."""
    doomed = fleet.start("--concurrency", "1")
    holder = fleet.holder(doomed)
    assert holder is not None
    doomed.kill()
    fleet.workers.remove(doomed)
    # As if it had taken these just before its end.
    client.rpush(keys.inflight(keys.CLUSTER_QUEUE, holder), b"\xff", b'{"id": "half"')
    good = push(client, "work", {"ms": 0})
    client.lmove(keys.CLUSTER_QUEUE, keys.inflight(keys.CLUSTER_QUEUE, holder), "LEFT", "RIGHT")
    fleet.start()

    eventually(lambda: len(answers) == 1, 30, what="the good task is answered")
    eventually(lambda: client.xlen(keys.dead(keys.CLUSTER_QUEUE)) == 2)
    assert set(answers.bodies) == {good}
    assert not inflight_keys(client)
    fleet.stop()
