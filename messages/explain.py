"""Why a body is no task, in words: which field, what came, what was expected.

Runs only for bodies that the fast reader refused, so it may be slow. It also reads the few forms
of time that the fast reader doesn't know.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import fields

from messages.errors import MalformedTaskError
from messages.task import MAX_ID_LENGTH, MAX_TYPE_LENGTH, Task

_WORDS: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_EXPECTED: Final[dict[str, str]] = {
    "id": f"a string of 1 to {MAX_ID_LENGTH} characters",
    "type": f"a string of 1 to {MAX_TYPE_LENGTH} characters",
    "payload": "an object",
    "created_at": "a time like 2024-02-17T10:30:00Z",
    "attempt": "a whole number from 1 to 1000000",
    "deaths": "a whole number from 0 to 1000000",
    "max_attempts": "a whole number from 1 to 1000000",
    "timeout": "a number of seconds above 0, at most 31536000",
    "not_before": "a time like 2024-02-17T10:30:00Z",
    "expires_at": "a time like 2024-02-17T10:30:00Z",
    "traceparent": "a string",
    "tracestate": "a string",
    "first_run": "a string",
    "errors": "an array of objects with the fields attempt and error",
    "saved": f"a whole number from 0 to {2**53}",
    "nonce": "a string",
}
_TIMES: Final = ("created_at", "not_before", "expires_at")
_A_TASK: Final = "a JSON object with the fields id, type, payload and created_at"
_SHOWN: Final = 60
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_fields_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def explain_task(raw: bytes) -> Task:
    """Say what is wrong with a body that the fast reader refused.

    Returns:
        The task after all, if all that the fast reader refused was the form of a time.

    Raises:
        MalformedTaskError: what is wrong.
    """
    body = _read_object(raw)
    task_id = _readable(body.get("id"))
    task_type = _readable(body.get("type"))
    values: dict[str, Any] = {}
    for field in fields(Task):
        value = body.get(field.name)
        if value is None:
            if field.required:
                raise MalformedTaskError(
                    field.name, "missing", _EXPECTED[field.name], task_id, task_type
                )
            continue
        try:
            values[field.name] = _convert(field.name, value, field.type)
        except _UNREADABLE:
            raise MalformedTaskError(
                field.name, _shown(value), _EXPECTED[field.name], task_id, task_type
            ) from None
    return Task(**values)


def explain_payload(task: Task, error: Exception) -> MalformedTaskError:
    """Say what is wrong with a payload that couldn't be read."""
    if _is_object(task.payload):
        deep = isinstance(error, RecursionError)
        came = "nested too deeply to be read" if deep else f"not readable JSON ({_plain(error)})"
    else:
        came = _shown(task.payload)
    return MalformedTaskError("payload", came, _EXPECTED["payload"], task.id, task.type)


def _read_object(raw: bytes) -> dict[str, msgspec.Raw]:
    """Split a body into its fields, each still unread, so that one bad field hides no other."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        came = f"not UTF-8 at byte {error.start}"
        task_id, task_type = _glimpse(raw)
        raise MalformedTaskError("body", came, _A_TASK, task_id, task_type) from None
    try:
        return _fields_decoder.decode(raw)
    except RecursionError:
        raise MalformedTaskError("body", "nested too deeply to be read", _A_TASK) from None
    except msgspec.ValidationError:
        raise MalformedTaskError("body", _shown(msgspec.Raw(raw)), _A_TASK) from None
    except (msgspec.MsgspecError, ValueError) as error:
        came = "empty" if not raw.strip() else f"not JSON ({_plain(error)})"
        task_id, task_type = _loose_glimpse(raw)
        raise MalformedTaskError("body", came, _A_TASK, task_id, task_type) from None


def _glimpse(raw: bytes) -> tuple[str | None, str | None]:
    """Read the id and the type of a body that is broken elsewhere, so that it can be answered."""
    try:
        body = _fields_decoder.decode(raw)
    except _UNREADABLE:
        return None, None
    return _readable(body.get("id")), _readable(body.get("type"))


def _loose_glimpse(raw: bytes) -> tuple[str | None, str | None]:
    """Read the same of a body that is JSON but for what Python writes and reads: NaN, Infinity."""
    try:
        body = json.loads(raw, strict=False)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(body, dict):
        return None, None
    return _sound(body.get("id")), _sound(body.get("type"))


def _sound(value: object) -> str | None:
    """Return a text that can be written again."""
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        return None
    return value or None


def _convert(name: str, value: msgspec.Raw, kind: Any) -> object:
    if name in _TIMES:
        text = msgspec.json.decode(value, type=str if name == "created_at" else str | None)
        if text is None:
            return None
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if name == "payload":
        if not _is_object(value):
            raise ValueError(name)
        # It stays in its bytes (I8), and is read when its handler is known.
        return value
    return msgspec.json.decode(value, type=kind)


def _is_object(value: msgspec.Raw) -> bool:
    return bytes(value).lstrip().startswith(b"{")


def _readable(value: msgspec.Raw | None) -> str | None:
    try:
        return msgspec.json.decode(value, type=str) or None if value is not None else None
    except _UNREADABLE:
        return None


def _shown(value: msgspec.Raw) -> str:
    """Say in words what a value is that wasn't expected in its place."""
    try:
        return _in_words(msgspec.json.decode(value))
    except RecursionError:
        return "nested too deeply to be read"
    except _UNREADABLE as error:
        return f"not readable JSON ({_plain(error)})"


def _in_words(value: object) -> str:
    words = _WORDS[type(value)]
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"a string of {len(value)} characters"
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        shown = repr(value)
        return f"{words} ({shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'})"
    return words


def _plain(error: Exception) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:]
