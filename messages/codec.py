"""Bytes to tasks, and answers to bytes: a tolerant reader and a strict writer.

The reader takes what any producer may write: unknown fields, naive times (meaning UTC),
microseconds, other offsets. What it can't read is explained by `messages.explain`, off the hot
path. Bodies that are passed on keep their very bytes (I8).
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from json import JSONEncoder
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from messages.errors import UnencodableError
from messages.explain import explain_payload, explain_task
from messages.heartbeat import Heartbeat
from messages.progress import Progress
from messages.result import Result
from messages.task import Task

_task_decoder: Final = msgspec.json.Decoder(Task)
_fields_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_progress_decoder: Final = msgspec.json.Decoder(Progress)
_object_decoder: Final = msgspec.json.Decoder(dict[str, Any])
_encoder: Final = msgspec.json.Encoder()

# The standard library's encoder for values that people return: msgspec would write NaN as null
# and a set as a list, and a producer would get an answer that the handler didn't give.
_value_encoder: Final = JSONEncoder(
    allow_nan=False, ensure_ascii=False, check_circular=True, separators=(",", ":")
)


def decode_task(raw: bytes) -> Task:
    """Read a task from its bytes.

    Raises:
        MalformedTaskError: the bytes are no task; says which field, what came, what was expected.
    """
    try:
        if not raw.isascii():
            # The decoder skips what it doesn't know unread; JSON is UTF-8 throughout.
            raw.decode()
        task = _task_decoder.decode(raw)
        if task.created_at.tzinfo is not UTC or task.expires_at or task.not_before:
            return _in_utc(task)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return explain_task(raw)
    return task


def _in_utc(task: Task) -> Task:
    """Give naive times their meaning."""
    return replace(
        task,
        created_at=_as_utc(task.created_at),
        expires_at=task.expires_at and _as_utc(task.expires_at),
        not_before=task.not_before and _as_utc(task.not_before),
    )


def _as_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def decode_payload(task: Task) -> dict[str, Any]:
    """Read a task's payload.

    Raises:
        MalformedTaskError: it isn't a JSON object, or holds what can't be read.
    """
    try:
        return _object_decoder.decode(task.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise explain_payload(task, error) from None


def encode_task(  # noqa: PLR0913 - the fields of a task
    *,
    task_id: str,
    task_type: str,
    payload: Mapping[str, Any],
    created_at: datetime,
    timeout: float | None = None,
    max_attempts: int | None = None,
    expires_at: datetime | None = None,
    nonce: str | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> bytes:
    """Write a task's body; the optional fields are left out where they are None.

    Raises:
        UnencodableError: the payload isn't a JSON object, or the id or the type isn't text.
    """
    for name, text in {"id": task_id, "type": task_type}.items():
        if not isinstance(text, str):
            raise UnencodableError(f"the task's {name}", f"it is a {type(text).__name__}, not text")
    if not isinstance(payload, Mapping):
        raise UnencodableError("the payload", f"it is a {type(payload).__name__}, not an object")
    fields: dict[str, Any] = {
        "id": task_id,
        "type": task_type,
        "payload": msgspec.Raw(_encode("the payload", payload)),
        "created_at": created_at,
    }
    optional = {
        "timeout": timeout,
        "max_attempts": max_attempts,
        "expires_at": expires_at,
        "nonce": nonce,
        "traceparent": traceparent,
        "tracestate": tracestate,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    try:
        return _encoder.encode(fields)
    except (UnicodeEncodeError, TypeError) as error:
        raise UnencodableError("the task's id or type", str(error)) from None


def rewrite_task(raw: bytes, *, nonce: str, **changes: object) -> bytes:
    """Return a task's body with fields changed and all others left in their very bytes (I8).

    Args:
        raw: a body that `decode_task` accepts.
        nonce: fresh for each call, so that two tasks that look alike stay two.
        changes: the new values of the pool's own fields.
    """
    fields = _fields_decoder.decode(raw)
    for name, value in changes.items():
        fields[name] = msgspec.Raw(_encoder.encode(value))
    fields["nonce"] = msgspec.Raw(_encoder.encode(nonce))
    return _encoder.encode(fields)


_OF_ITS_RUNS: Final = (
    *("attempt", "deaths", "errors", "saved", "not_before", "expires_at"),
    "first_run",
)


def renewed_task(raw: bytes, *, nonce: str) -> bytes:
    """Return a task's body as if it had never been run: for another try of a dead letter.

    It keeps neither attempts nor deaths nor a saved state nor the times between which it was to
    start; all else keeps its very bytes (I8).

    Args:
        raw: a body that `decode_task` accepts.
        nonce: fresh for each call.
    """
    fields = _fields_decoder.decode(raw)
    for name in _OF_ITS_RUNS:
        fields.pop(name, None)
    fields["nonce"] = msgspec.Raw(_encoder.encode(nonce))
    return _encoder.encode(fields)


def encode_value(value: object) -> bytes:
    """Write what a handler returned as a JSON object.

    A mapping is the object itself, None is `{}`, any other value lies under the key `value`.

    Raises:
        UnencodableError: it isn't JSON; names the type or the value that has no form there.
    """
    if value is None:
        return b"{}"
    fields = value if isinstance(value, Mapping) else {"value": value}
    return _encode("the handler's result", fields)


def encode_state(state: object) -> bytes:
    """Write the state of a task that goes on later: any JSON value.

    Raises:
        UnencodableError: it isn't JSON; names the type or the value that has no form there.
    """
    return _encode("the saved state", state)


def decode_state(raw: bytes) -> Any:
    """Read what `encode_state` has written.

    Raises:
        ValueError: these bytes are no JSON.
    """
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None


def _encode(what: str, value: object) -> bytes:
    try:
        # The encoder knows no other mappings.
        plain = value if isinstance(value, dict) or not isinstance(value, Mapping) else dict(value)
        return _value_encoder.encode(plain).encode()
    except UnicodeEncodeError as error:
        came = ascii(error.object[error.start : error.start + 1])
        raise UnencodableError(what, f"it holds {came}, half of a character") from None
    except RecursionError:
        raise UnencodableError(what, "it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - a class of the user's may raise anything here
        raise UnencodableError(what, str(error) or type(error).__name__) from None


def encode_progress(progress: Progress) -> bytes:
    """Write how far a task is."""
    return _encoder.encode(progress)


def decode_progress(raw: bytes) -> Progress | None:
    """Read how far a task is, or return None if these bytes don't say."""
    try:
        return _progress_decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None


def encode_result(result: Result) -> bytes:
    """Write an answer."""
    return _encoder.encode(result)


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """Write a heartbeat."""
    return _encoder.encode(heartbeat)
