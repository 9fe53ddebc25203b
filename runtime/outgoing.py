"""Tasks on their way out: checked, encoded and put in batches, before anything is sent."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from messages import UnencodableError, encode_task
from messages.task import MAX_ID_LENGTH, MAX_TYPE_LENGTH
from runtime.errors import InvalidTaskError

MAX_TASK_BYTES: Final = 1024 * 1024
# Of one RPUSH: what a server takes in without keeping others waiting.
_BATCH_ENTRIES: Final = 1_000
_BATCH_BYTES: Final = 8 * 1024 * 1024


class Entry(NamedTuple):
    """A task that is ready to be sent."""

    task_id: str
    body: bytes


def make_entry(
    task_type: str, payload: Mapping[str, Any], task_id: str, now: datetime, max_bytes: int
) -> Entry:
    """Check and encode a task.

    Raises:
        InvalidTaskError: it can't be sent; says which part of it, what came, what was expected.
    """
    check_id(task_id)
    _check_text("type", task_type, MAX_TYPE_LENGTH)
    try:
        body = encode_task(task_id=task_id, task_type=task_type, payload=payload, created_at=now)
    except UnencodableError as error:
        raise InvalidTaskError("payload", f"no JSON ({error.why})", "a JSON object") from error
    if len(body) > max_bytes:
        raise InvalidTaskError("body", f"{len(body)} bytes long", f"at most {max_bytes} bytes")
    return Entry(task_id, body)


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Part entries into batches of at most 1,000 tasks and 8 MiB, in order; none is empty."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        full = len(batch) == _BATCH_ENTRIES or size + len(entry.body) > _BATCH_BYTES
        if batch and full:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += len(entry.body)
    if batch:
        yield batch


def check_id(task_id: object) -> None:
    """Raise an InvalidTaskError unless this can be a task's id."""
    _check_text("id", task_id, MAX_ID_LENGTH)


def check_queue(queue: object) -> None:
    """Raise an InvalidTaskError unless this can be a queue's name."""
    _check_text("queue", queue, MAX_ID_LENGTH)


def _check_text(field: str, value: object, longest: int) -> None:
    expected = f"a string of 1 to {longest} characters"
    if not isinstance(value, str):
        raise InvalidTaskError(field, f"of the type {type(value).__name__}", expected)
    if not 0 < len(value) <= longest:
        raise InvalidTaskError(field, f"{len(value)} characters long", expected)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidTaskError(field, "broken Unicode", "a string that UTF-8 can write") from None
