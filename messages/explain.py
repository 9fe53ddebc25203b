"""Why a body is no task, in words: which field, what came, what was expected.

Runs only for bodies that the fast reader refused, so it may be slow. It also reads the few forms
of time that the fast reader doesn't know.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from attrs import NOTHING, fields

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
    "nonce": "a string",
}
_TIMES: Final = ("created_at", "not_before", "expires_at")
_A_TASK: Final = "a JSON object with the fields id, type, payload and created_at"
_SHOWN: Final = 60


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
        value = body.get(field.name, NOTHING)
        if value is NOTHING:
            if field.default is NOTHING:
                raise MalformedTaskError(
                    field.name, "missing", _EXPECTED[field.name], task_id, task_type
                )
            continue
        try:
            values[field.name] = _convert(field.name, value, field.type)
        except (msgspec.ValidationError, ValueError):
            came = _in_words(value)
            raise MalformedTaskError(
                field.name, came, _EXPECTED[field.name], task_id, task_type
            ) from None
    return Task(**values)


def explain_payload(task: Task, error: Exception) -> MalformedTaskError:
    """Say what is wrong with a payload that couldn't be read."""
    if isinstance(error, RecursionError):
        came = "nested too deeply to be read"
    elif isinstance(error, UnicodeDecodeError):
        came = f"not UTF-8 ({error.reason})"
    elif isinstance(error, msgspec.ValidationError) and "Expected `object`" in str(error):
        came = _in_words(msgspec.json.decode(task.payload))
    else:
        came = f"not readable JSON ({_plain(error)})"
    return MalformedTaskError("payload", came, _EXPECTED["payload"], task.id, task.type)


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        came = f"not UTF-8 at byte {error.start}"
        raise MalformedTaskError("body", came, _A_TASK) from None
    try:
        body = msgspec.json.decode(raw)
    except RecursionError:
        raise MalformedTaskError("body", "nested too deeply to be read", _A_TASK) from None
    except (msgspec.MsgspecError, ValueError) as error:
        came = "empty" if not raw.strip() else f"not JSON ({_plain(error)})"
        raise MalformedTaskError("body", came, _A_TASK) from None
    if not isinstance(body, dict):
        raise MalformedTaskError("body", _in_words(body), _A_TASK)
    return body


def _convert(name: str, value: object, kind: object) -> object:
    if name in _TIMES:
        if value is None and name != "created_at":
            return None
        if not isinstance(value, str):
            raise ValueError(name)
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if name == "payload":
        if not isinstance(value, dict):
            raise ValueError(name)
        return msgspec.Raw(msgspec.json.encode(value))
    return msgspec.convert(value, kind)


def _readable(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


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
