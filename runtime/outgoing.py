"""Tasks on their way out: checked, encoded and put in batches, before anything is sent."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self

from attrs import frozen

from messages import UnencodableError, encode_task
from messages.task import MAX_ID_LENGTH, MAX_TYPE_LENGTH
from runtime.errors import InvalidTaskError
from runtime.traces.carrier import NO_CARRIER, Carrier

MAX_TASK_BYTES: Final = 1024 * 1024
# Of one RPUSH: what a server takes in without keeping others waiting.
_BATCH_ENTRIES: Final = 1_000
_BATCH_BYTES: Final = 8 * 1024 * 1024
_LONGEST: Final = 31_536_000
_MOST_ATTEMPTS: Final = 1_000_000


@frozen(kw_only=True)
class Terms:
    """When a task is to be run, and how often it may be; None where the task doesn't say.

    Attributes:
        delay: seconds from now, by the server's clock, before which it isn't started.
        at: the time before which it isn't started, with its zone.
        expires_in: seconds from now after which it isn't started any more.
        max_attempts: runs in all, the first included.
        timeout: seconds that a run may take.
        unique_for: seconds for which another push of the same id is none.
    """

    delay: float | None = None
    at: datetime | None = None
    expires_in: float | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    unique_for: float | None = None

    @property
    def waits(self) -> bool:
        """Whether the task is to lie among the delayed ones first."""
        return self.delay is not None or self.at is not None

    def check(self) -> None:
        """Raise an InvalidTaskError unless a task may go on these terms."""
        _check_seconds("delay", self.delay, zero=True)
        _check_seconds("expires_in", self.expires_in)
        _check_seconds("timeout", self.timeout)
        _check_seconds("unique_for", self.unique_for)
        if self.delay is not None and self.at is not None:
            raise InvalidTaskError("at", "given beside delay", "one of both")
        if self.at is not None and getattr(self.at, "tzinfo", None) is None:
            expected = "a datetime with its zone, such as datetime.now(UTC)"
            raise InvalidTaskError("at", repr(self.at), expected)
        attempts = self.max_attempts
        if attempts is not None and not (type(attempts) is int and 1 <= attempts <= _MOST_ATTEMPTS):
            expected = f"a whole number from 1 to {_MOST_ATTEMPTS}"
            raise InvalidTaskError("max_attempts", repr(attempts), expected)


NO_TERMS: Final = Terms()


class TaskId(str):
    """A task's id, as a push returns it.

    Attributes:
        duplicate: whether nothing was pushed, since a task of this id was pushed not long ago.
    """

    __slots__ = ("duplicate",)

    duplicate: bool

    def __new__(cls, task_id: str, *, duplicate: bool = False) -> Self:
        """Return the id with what is known of its push."""
        one = super().__new__(cls, task_id)
        one.duplicate = duplicate
        return one


def check_unique(terms: Terms, task_id: str | None) -> None:
    """Raise an InvalidTaskError if a task is to be unique and its id is random."""
    if terms.unique_for is not None and task_id is None:
        expected = "an id that is the same each time, as task_id"
        raise InvalidTaskError("unique_for", "given without an id", expected)


class Entry(NamedTuple):
    """A task that is ready to be sent."""

    task_id: str
    body: bytes


def make_entry(  # noqa: PLR0913, PLR0917 - the parts of a task
    task_type: str,
    payload: Mapping[str, Any],
    task_id: str,
    now: datetime,
    max_bytes: int,
    terms: Terms = NO_TERMS,
    nonce: str | None = None,
    carrier: Carrier = NO_CARRIER,
) -> Entry:
    """Check and encode a task.

    Args:
        task_type: says which handler runs it.
        payload: the handler's input.
        task_id: its id.
        now: when it is made, UTC.
        max_bytes: of the body.
        terms: when and how often it may be run.
        nonce: a random text, if the task is to lie among the delayed ones: there equal bodies
            would be one.
        carrier: the span of its push, if that is traced.

    Raises:
        InvalidTaskError: it can't be sent; says which part of it, what came, what was expected.
    """
    check_id(task_id)
    _check_text("type", task_type, MAX_TYPE_LENGTH)
    terms.check()
    lasts = terms.expires_in
    expires_at = None if lasts is None else now + timedelta(seconds=lasts)
    try:
        body = encode_task(
            task_id=task_id,
            task_type=task_type,
            payload=payload,
            created_at=now,
            timeout=terms.timeout,
            max_attempts=terms.max_attempts,
            expires_at=expires_at,
            nonce=nonce,
            traceparent=carrier.traceparent,
            tracestate=carrier.tracestate,
        )
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


def _check_seconds(field: str, value: object, *, zero: bool = False) -> None:
    if value is None:
        return
    expected = f"seconds {'from' if zero else 'above'} 0, at most {_LONGEST:,} (a year)"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTaskError(field, f"of the type {type(value).__name__}", expected)
    if not (0 < value <= _LONGEST or (zero and value == 0)):
        raise InvalidTaskError(field, repr(value), expected)


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
