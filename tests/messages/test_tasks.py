import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages import (
    MessageError,
    Task,
    UnencodableError,
    decode_payload,
    decode_task,
    encode_task,
    renewed_task,
    rewrite_task,
)
from tests.messages.bodies import CREATED, body, names, objects, raw_body, values

NOON = datetime(2024, 2, 17, 10, 30, tzinfo=UTC)
OURS = {"attempt", "deaths", "max_attempts", "timeout", "not_before", "expires_at"} | {
    *("saved", "errors", "traceparent", "nonce", "id", "type", "payload", "created_at"),
    *("tracestate", "first_run"),
}
strangers = st.dictionaries(names.filter(lambda name: name not in OURS), values, max_size=4)
seconds = st.floats(min_value=0.001, max_value=31_536_000)


def encoded(payload: Mapping[str, Any], **changes: Any) -> bytes:
    fields = {"task_id": "t-1", "task_type": "t", "payload": payload, "created_at": NOON}
    return encode_task(**fields | changes)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "task_id": names,
            "task_type": names,
            "payload": objects,
            "created_at": st.datetimes(timezones=st.just(UTC)),
            "timeout": st.none() | seconds,
            "max_attempts": st.none() | st.integers(1, 1_000_000),
        }
    )
)
def test_what_is_written_is_read(given: dict[str, Any]) -> None:
    """A task that `encode_task` wrote is read as it was given, the payload included."""
    task = decode_task(encode_task(**given))

    assert (task.id, task.type) == (given["task_id"], given["task_type"])
    assert task.created_at == given["created_at"]
    assert (task.timeout, task.max_attempts) == (given["timeout"], given["max_attempts"])
    assert (task.attempt, task.deaths, task.saved, task.nonce) == (1, 0, 0, None)
    assert decode_payload(task) == given["payload"]


def test_optional_fields_are_left_out() -> None:
    """A body holds the contract's four fields and nothing that wasn't asked for."""
    assert json.loads(encoded({})).keys() == {"id", "type", "payload", "created_at"}


def test_a_mapping_that_is_no_dict_is_an_object() -> None:
    """Any mapping can be a payload."""
    raw = encoded(MappingProxyType({"a": 1}))

    assert decode_payload(decode_task(raw)) == {"a": 1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payload": [1]}, "the payload isn't JSON: it is a list, not an object"),
        ({"payload": "text"}, "the payload isn't JSON: it is a str, not an object"),
        ({"payload": {"a": float("nan")}}, "the payload isn't JSON: Out of range"),
        ({"payload": {"a": {1, 2}}}, "the payload isn't JSON: Object of type set"),
        ({"payload": {"a": b"x"}}, "the payload isn't JSON: Object of type bytes"),
        ({"payload": {"a": "\ud800"}}, "half of a character"),
        ({"task_id": "\ud800"}, "the task's id or type isn't JSON"),
        ({"task_id": 7}, "the task's id isn't JSON: it is a int, not text"),
        ({"task_type": None}, "the task's type isn't JSON: it is a NoneType, not text"),
    ],
)
def test_the_writer_is_strict(changes: dict[str, Any], words: str) -> None:
    """What has no form in JSON isn't written; the error says which value it was, and why."""
    with pytest.raises(UnencodableError) as caught:
        encoded(**{"payload": {}} | changes)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-02-17T10:30:00Z", NOON),
        ("2024-02-17T10:30:00", NOON),
        ("2024-02-17T10:30:00.000", NOON),
        ("2024-02-17 10:30:00", NOON),
        ("2024-02-17T10:30", NOON),
        ("20240217T103000Z", NOON),
        ("2024-02-17T10:30:00z", NOON),
        ("2024-02-17T12:30:00+02:00", NOON),
        ("2024-02-17T12:30:00+0200", NOON),
        ("2024-02-17T05:00:00-05:30", NOON),
        ("2024-02-17T10:30:00.123456Z", NOON.replace(microsecond=123456)),
        ("2024-02-17T10:30:00.123456", NOON.replace(microsecond=123456)),
        ("2024-02-17T12:30:00.123456+02:00", NOON.replace(microsecond=123456)),
        ("2024-02-17", datetime(2024, 2, 17, tzinfo=UTC)),
    ],
)
def test_times_in_all_forms_are_utc(written: str, meant: datetime) -> None:
    """A time may be naive (meaning UTC), have an offset or microseconds; it is read as UTC."""
    task = decode_task(body(created_at=written, expires_at=written, not_before=written))

    assert {task.created_at, task.expires_at, task.not_before} == {meant}
    assert {time.tzinfo for time in (task.created_at, task.expires_at, task.not_before)} == {UTC}


@settings(deadline=None)
@given(
    time=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001 - the clock face
    offset=st.none() | st.integers(-14 * 60, 14 * 60),
)
def test_any_time_keeps_its_moment(time: datetime, offset: int | None) -> None:
    """Whatever offset a time is written with, the moment is the one that was meant."""
    zone = None if offset is None else timezone(timedelta(minutes=offset))
    written = time.replace(tzinfo=zone)

    read = decode_task(body(created_at=written.isoformat())).created_at

    assert read == time.replace(tzinfo=zone or UTC)
    assert read.tzinfo is UTC


def test_a_payload_stays_in_its_bytes() -> None:
    """The payload is kept as it was written, whichever reader a body needs (I8)."""
    payload = '{"f": 1.50, "big": 123456789012345678901234567890, "\\u0041": [ ]}'

    for created_at in (f'"{CREATED}"', '"2024-02-17T10:30"'):
        task = decode_task(raw_body(payload=payload, created_at=created_at))
        assert bytes(task.payload) == payload.encode()


@settings(deadline=None)
@given(unknown=strangers, payload=objects, deaths=st.integers(0, 1000), nonce=names)
def test_a_rewritten_body_changes_only_what_was_asked(
    unknown: dict[str, Any], payload: dict[str, Any], deaths: int, nonce: str
) -> None:
    """A rewritten body has the change and the nonce; all else is read as before (I8)."""
    raw = body(payload=payload, attempt=2, **unknown)

    rewritten = rewrite_task(raw, nonce=nonce, deaths=deaths)

    assert json.loads(rewritten) == json.loads(raw) | {"deaths": deaths, "nonce": nonce}


def test_a_rewritten_body_keeps_the_very_bytes_of_the_rest() -> None:
    """What a decoder would change (1.50, long numbers, spaces) is passed through (I8)."""
    kept = [
        '{"f":1.50,  "e":1E2,"big":123456789012345678901234567890}',
        '[1.000, "\\u00e9\\/", {"a" : null}]',
    ]
    raw = raw_body(payload=kept[0], later=kept[1], deaths="1")

    rewritten = rewrite_task(raw, nonce="n", deaths=2)

    assert [text for text in kept if text.encode() not in rewritten] == []
    assert decode_task(rewritten).deaths == 2


def test_two_equal_bodies_become_two() -> None:
    """A fresh nonce tells rewritten bodies apart, so tasks that look alike stay two (I8)."""
    once, twice = (rewrite_task(body(), nonce=nonce, deaths=1) for nonce in ("a", "b"))

    assert once != twice
    assert (decode_task(once).nonce, decode_task(twice).nonce) == ("a", "b")


def task_or_error(raw: bytes) -> Task | MessageError:
    """Read a body to its end, as a worker and a Janitor do."""
    try:
        task = decode_task(raw)
    except MessageError as error:
        return error
    assert len(bytes(task.payload)) > 0
    if task.deaths < 1_000_000:
        rewritten = decode_task(rewrite_task(raw, nonce="n", deaths=task.deaths + 1))
        assert bytes(rewritten.payload) == bytes(task.payload)
    with suppress(MessageError):
        assert isinstance(decode_payload(task), dict)
    return task


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_task_or_an_error_of_ours(raw: bytes) -> None:
    """Arbitrary bytes make the reader raise its own error and nothing else."""
    assert isinstance(task_or_error(raw), MessageError)


json_texts = values.map(json.dumps) | st.sampled_from(
    [
        *("1e999", "-1e999", "NaN", "Infinity", "0123", "1.", "9" * 400, "-" + "9" * 5000),
        *('"\\ud800"', '"\\udc00x"', '"a\\u0000b"', "'x'", "{}{}", "[1,]", '{"a":1e999}', ""),
        *("[1e999]", "[" * 2000 + "]" * 2000, "[" * 2000, '{"a":' * 900 + "1" + "}" * 900),
        *('"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"2024-W07-6"', '"+"'),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(OURS | {"more"})), json_texts, max_size=6))
def test_any_fields_are_a_task_or_an_error_of_ours(fields: dict[str, str]) -> None:
    """Whatever stands in whatever field, a body is a task that can be run, or an error of ours."""
    task_or_error(raw_body(**fields))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_body_is_a_task_or_an_error_of_ours(data: st.DataObject) -> None:
    """A good body with bytes overwritten, cut out or cut off is a task, or an error of ours."""
    raw = body(payload={"naïve": [1.5, None, "x"]}, attempt=1, timeout=1.5, expires_at=CREATED)
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, len(raw)))

    task_or_error(raw[:start] + data.draw(st.binary(max_size=5)) + raw[end:])


def test_a_renewed_task_keeps_its_trace_and_forgets_its_runs() -> None:
    """A dead letter that is sent again stays in its producer's trace, as if it had never run."""
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    pushed = encoded({}, **trace, tracestate="vendor=1")
    run = rewrite_task(pushed, nonce="a", attempt=2, first_run=trace["traceparent"])
    renewed = decode_task(renewed_task(run, nonce="b"))
    assert (renewed.traceparent, renewed.tracestate) == (trace["traceparent"], "vendor=1")
    assert (renewed.attempt, renewed.first_run) == (1, None)
