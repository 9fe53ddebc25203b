import json
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from messages import (
    Answered,
    DeadLetter,
    Heartbeat,
    Reason,
    Result,
    UnencodableError,
    decode_state,
    encode_heartbeat,
    encode_result,
    encode_state,
    encode_value,
)
from tests.messages.bodies import objects, values

NOON = datetime(2024, 2, 17, 10, 30, 0, 123000, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Failing(Mapping[str, int]):
    """A mapping of a user's that breaks when it is read."""

    def __getitem__(self, key: str) -> int:
        raise RuntimeError("the session is closed")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@settings(deadline=None)
@given(objects)
def test_an_object_is_its_own_result(value: dict[str, Any]) -> None:
    """A dict that JSON can hold is written as it is, numbers of any size included."""
    assert json.loads(encode_value(value)) == value


@settings(deadline=None)
@given(values)
def test_a_state_is_read_as_it_was_written(value: object) -> None:
    """Any JSON value is a state, numbers of any size included."""
    assert decode_state(encode_state(value)) == value


@pytest.mark.parametrize("value", [{1}, math.nan, "\ud800", circular(), deep(), Failing()])
def test_what_is_no_state_is_refused(value: object) -> None:
    """What JSON can't hold is refused in words, whatever a class of the user's raises."""
    with pytest.raises(UnencodableError, match=r"the saved state isn't JSON: .+"):
        encode_state(value)


@settings(deadline=None)
@given(st.one_of(st.binary(), st.just(b"[" * 100_000)))
def test_whatever_lies_there_reading_a_state_fails_softly(raw: bytes) -> None:
    """Bytes that are no state are a `ValueError` and nothing else."""
    with suppress(ValueError):
        decode_state(raw)


@settings(deadline=None)
@given(values.filter(lambda value: not isinstance(value, dict | None)))
def test_any_other_value_lies_under_value(value: object) -> None:
    """A result is an object: what isn't one lies under the key `value`."""
    assert json.loads(encode_value(value)) == {"value": value}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, {}),
        (OrderedDict(a=1), {"a": 1}),
        ((1, 2), {"value": [1, 2]}),
        (Colour.RED, {"value": "red"}),
        (Level.HIGH, {"value": 3}),
        ({1: "a", False: "b", None: "c"}, {"1": "a", "false": "b", "null": "c"}),
        ("é\x00", {"value": "é\x00"}),
    ],
)
def test_what_has_a_form_in_json_is_written(value: object, written: dict[str, Any]) -> None:
    """Tuples, enums and keys that are numbers have their form in JSON, as in `json.dumps`."""
    assert json.loads(encode_value(value)) == written


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "Out of range float"),
        ({"a": [math.inf]}, "Out of range float"),
        ({math.nan: 1}, "Out of range float"),
        ({"a": {1, 2}}, "Object of type set is not JSON serializable"),
        (b"bytes", "Object of type bytes is not JSON serializable"),
        (NOON, "Object of type datetime is not JSON serializable"),
        (1 + 2j, "Object of type complex is not JSON serializable"),
        (iter([1]), "not JSON serializable"),
        ({(1, 2): 3}, "keys must be str, int, float, bool or None, not tuple"),
        (circular(), "Circular reference"),
        (deep(), "nested too deeply"),
        ("\ud800", r"'\ud800', half of a character"),
        ({"\udfff": 1}, r"'\udfff', half of a character"),
        (10**5000, "Exceeds the limit"),
        (Failing(), "the session is closed"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_has_no_form_in_json_is_an_error_of_ours(value: object, why: str) -> None:
    """The writer is strict: nothing is turned into null or into a list in silence."""
    with pytest.raises(UnencodableError) as caught:
        encode_value(value)

    assert caught.value.what == "the handler's result"
    assert why in caught.value.why


@settings(deadline=None)
@given(objects, st.booleans())
def test_a_result_has_the_contracts_fields(value: dict[str, Any], success: bool) -> None:  # noqa: FBT001 - a generated value
    """A result's JSON has the contract's five fields, and the value in its very bytes."""
    raw = encode_value(value)

    written = encode_result(Result("t", "w", NOON, success, Raw(raw), "kind", 2))

    assert json.loads(written) == {
        "task_id": "t",
        "worker_id": "w",
        "timestamp": "2024-02-17T10:30:00.123000Z",
        "success": success,
        "result": value,
        "type": "kind",
        "attempt": 2,
        "started_at": None,
        "duration_ms": None,
        "queue_ms": None,
    }
    assert raw in written


def test_a_heartbeat_has_the_contracts_fields() -> None:
    """A heartbeat's JSON has the contract's five fields and what we add."""
    running = ({"id": "t", "type": "k", "seconds": 1.5},)
    minute = {"q": Answered(3, 1, 2, 0.5)}
    beat = Heartbeat(
        *("w", NOON, 5, 2, 1, NOON, "w#1", 4, ("q",)), running=running, last_minute=minute
    )

    written = json.loads(encode_heartbeat(beat))

    assert (written["worker_id"], written["timestamp"]) == ("w", "2024-02-17T10:30:00.123000Z")
    assert (written["tasks_processed"], written["tasks_failed"], written["active_tasks"]) == (
        *(5, 2, 1),
    )
    assert written["running"] == list(running)
    assert written["last_minute"] == {"q": {"tasks": 3, "failed": 1, "ran": 2, "seconds": 0.5}}
    assert written["cpu_percent"] is None


def test_a_dead_letter_is_a_stream_entry() -> None:
    """A dead letter's fields are names and values; what couldn't be read is empty."""
    dead = DeadLetter(b"\xff", Reason.MALFORMED, "why", "w", NOON, deaths=1)

    fields = dead.fields()

    assert dict(zip(fields[::2], fields[1::2], strict=True)) == {
        "reason": "malformed",
        "error": "why",
        "worker_id": "w",
        "time": "2024-02-17T10:30:00.123000Z",
        "task_id": "",
        "type": "",
        "attempts": "0",
        "deaths": "1",
        "error_type": "",
        "traceback": "",
        "errors": "[]",
    }
