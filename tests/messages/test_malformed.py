from typing import Final

import pytest

from messages import MalformedTaskError, decode_payload, decode_task
from tests.messages.bodies import CREATED, body, raw_body

DEEP: Final = "[" * 100_000 + "]" * 100_000

# What is wrong → (the body, the field that the error names, what it says came).
MALFORMED: Final = {
    "nothing": (b"", "body", "empty"),
    "only spaces": (b" \n\t", "body", "empty"),
    "no JSON": (b"spawn_agent", "body", "not JSON"),
    "a zero byte": (b"\x00", "body", "not JSON"),
    "cut off": (body()[:-10], "body", "not JSON"),
    "text after the end": (body() + b" x", "body", "not JSON"),
    "two objects": (body() + body(), "body", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + body(), "body", "not JSON"),
    "UTF-16": (body().decode().encode("utf-16"), "body", "not UTF-8 at byte 0"),
    "latin-1 in the payload": (
        raw_body(payload='{"n":"M\xfcller"}').decode().encode("latin-1"),
        "body",
        "not UTF-8 at byte",
    ),
    "latin-1 in an unknown key": (b'{"\xfc":1,' + body()[1:], "body", "not UTF-8 at byte 2"),
    "a number": (b"42", "body", "a number (42)"),
    "a number too large": (b"9" * 5000, "body", "not readable JSON"),
    "null": (b"null", "body", "null"),
    "true": (b"true", "body", "a boolean"),
    "a string": (b'"task"', "body", "a string ('task')"),
    "a long string": (b'"' + b"x" * 100 + b'"', "body", "a string of 100 characters"),
    "an array": (b"[" + body() + b"]", "body", "an array"),
    "an empty object": (b"{}", "id", "missing"),
    "NaN": (raw_body(payload='{"x":NaN}'), "body", "not JSON"),
    "Infinity": (raw_body(timeout="Infinity"), "body", "not JSON"),
    "a leading zero": (raw_body(attempt="01"), "body", "not JSON"),
    "single quotes": (b"{'id': 't-1'}", "body", "not JSON"),
    "a trailing comma": (body()[:-1] + b",}", "body", "not JSON"),
    "half of a character": (raw_body(id='"\\ud800"'), "body", "not JSON"),
    "deep nesting": (raw_body(payload='{"x":' + DEEP + "}"), "body", "nested too deeply"),
    "deep nesting of all": (DEEP.encode(), "body", "nested too deeply"),
    "deep nesting, unknown field": (raw_body(more=DEEP), "body", "nested too deeply"),
    "no id": (body(id=...), "id", "missing"),
    "no type": (body(type=...), "type", "missing"),
    "no payload": (body(payload=...), "payload", "missing"),
    "no created_at": (body(created_at=...), "created_at", "missing"),
    "id a number": (body(id=7), "id", "a number (7)"),
    "id null": (body(id=None), "id", "null"),
    "id empty": (body(id=""), "id", "a string ('')"),
    "id of 5,000 characters": (body(id="x" * 5000), "id", "a string of 5000 characters"),
    "id an object": (body(id={}), "id", "an object"),
    "type a boolean": (body(type=True), "type", "a boolean"),
    "type empty": (body(type=""), "type", "a string ('')"),
    "type too long": (body(type="x" * 257), "type", "a string of 257 characters"),
    "created_at a number": (body(created_at=1708165800), "created_at", "a number (1708165800)"),
    "created_at no time": (body(created_at="noon"), "created_at", "a string ('noon')"),
    "created_at no day": (body(created_at="2024-02-30T00:00:00Z"), "created_at", "a string"),
    "created_at null": (body(created_at=None), "created_at", "null"),
    "created_at before all times": (
        body(created_at="0001-01-01T00:00:00+10:00"),
        "created_at",
        "a string ('0001-01-01T00:00:00+10:00')",
    ),
    "expires_at after all times": (
        body(expires_at="9999-12-31T23:59:59-10:00"),
        "expires_at",
        "a string ('9999-12-31T23:59:59-10:00')",
    ),
    "expires_at a number": (body(expires_at=5), "expires_at", "a number (5)"),
    "not_before no time": (body(not_before="later"), "not_before", "a string ('later')"),
    "attempt a string": (body(attempt="1"), "attempt", "a string ('1')"),
    "attempt a fraction": (body(attempt=1.5), "attempt", "a number (1.5)"),
    "attempt 0": (body(attempt=0), "attempt", "a number (0)"),
    "attempt null": (body(attempt=None), "attempt", "null"),
    "deaths negative": (body(deaths=-1), "deaths", "a number (-1)"),
    "saved a list": (body(saved=[]), "saved", "an array"),
    "saved negative": (body(saved=-1), "saved", "a number (-1)"),
    "saved too large": (body(saved=2**53 + 1), "saved", f"a number ({2**53 + 1})"),
    "max_attempts an array": (body(max_attempts=[3]), "max_attempts", "an array"),
    "timeout 0": (body(timeout=0), "timeout", "a number (0)"),
    "timeout a string": (body(timeout="60"), "timeout", "a string ('60')"),
    "timeout out of range": (raw_body(timeout="1e999"), "timeout", "not readable JSON"),
    "traceparent a number": (body(traceparent=1), "traceparent", "a number (1)"),
    "tracestate a list": (body(tracestate=[]), "tracestate", "an array"),
    "first_run a number": (body(first_run=1), "first_run", "a number (1)"),
    "nonce an object": (body(nonce={}), "nonce", "an object"),
}

# Bodies that are tasks, with payloads that aren't objects or can't be read.
BAD_PAYLOADS: Final = {
    "null": ("null", "null"),
    "a string": ('"x"', "a string ('x')"),
    "a number": ("1.5", "a number (1.5)"),
    "an array": ("[1]", "an array"),
    "a number out of range": ("1e999", "not readable JSON"),
    "an array with a number out of range": ("[1e999]", "not readable JSON"),
    "a member out of range": ('{"x":1e999}', "not readable JSON"),
    "a whole number out of range": ('{"x":' + "9" * 5000 + "}", "not readable JSON"),
}


def error_of(raw: bytes) -> MalformedTaskError:
    with pytest.raises(MalformedTaskError) as caught:
        decode_payload(decode_task(raw))
    return caught.value


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_bad_body_is_explained(kind: str) -> None:
    """A body that is no task is refused in words that name the field and what stands there."""
    raw, field, came = MALFORMED[kind]

    error = error_of(raw)

    assert error.field == field
    assert error.came.startswith(came)
    place = "the body" if field == "body" else f"field `{field}`"
    assert str(error) == f"{place} is {error.came}, expected {error.expected}"
    assert len(str(error)) < 300


@pytest.mark.parametrize("kind", BAD_PAYLOADS)
def test_a_bad_payload_is_explained(kind: str) -> None:
    """A payload that is no object is refused in words, whichever reader its body needed."""
    text, came = BAD_PAYLOADS[kind]

    for created_at in (f'"{CREATED}"', '"2024-02-17T10:30"'):
        error = error_of(raw_body(payload=text, created_at=created_at))
        assert (error.field, error.expected) == ("payload", "an object")
        assert error.came.startswith(came)
        assert (error.task_id, error.task_type) == ("t-1", "t")


@pytest.mark.parametrize(
    ("raw", "task_id"),
    [
        (body(type=7), "t-1"),
        (body(payload=...), "t-1"),
        (body(attempt="x"), "t-1"),
        (raw_body(payload='{"n":"\xfc"}').decode().encode("latin-1"), "t-1"),
        (raw_body(payload="[1e999]", type="1"), "t-1"),
        (body(id=7), None),
        (body(id=""), None),
        (body(id=...), None),
        (b"[]", None),
    ],
)
def test_an_id_that_can_be_read_comes_with_the_error(raw: bytes, task_id: str | None) -> None:
    """The producer of a bad body can be answered wherever its id is readable."""
    assert error_of(raw).task_id == task_id
