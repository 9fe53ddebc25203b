"""Recurring tasks, as `Handlers.every` declares them."""

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from actors.schedules import Schedule, read_schedule
from messages import MessageError, decode_task, encode_task

_LONGEST_NAME: Final = 200
"""Characters of a name; with the due time it is a task's id."""

_LONGEST_LIFE: Final = 31_536_000
"""Seconds; the same bound as that of a producer's `expires_in`."""


_SOME_DAY: Final = datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)


class RecurrenceError(ValueError):
    """A recurring task that can't be; says which part of it, what came and what was expected."""


@frozen(eq=False, kw_only=True)
class Recurrence:
    """A task that is pushed anew at each of its due times.

    Attributes:
        name: tells it from all others of the server.
        task_type: says which handler runs it.
        payload: the handler's input.
        schedule: when it is due.
        queue: where it goes, if it was said.
        default_queue: where it goes if neither it nor the handler of its type says so.
        timeout: seconds that a run may take, if it was said.
        max_attempts: runs in all, if it was said.
        expires_in: seconds after which it isn't started any more, if it was said.
    """

    name: str
    task_type: str
    payload: Mapping[str, Any]
    schedule: Schedule
    queue: str | None = None
    default_queue: str | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    expires_in: float | None = None

    def task_id(self, due: int) -> str:
        """Return the id of the task of a due time, in ms since the epoch.

        The time is ISO 8601 without colons: an id becomes part of keys, which are parted by them.
        """
        seconds, ms = divmod(due, 1000)
        when = datetime.fromtimestamp(seconds, UTC)
        return f"{self.name}@{when:%Y%m%dT%H%M%S}{f'.{ms:03}' if ms else ''}Z"

    def body(self, due: int, now: datetime) -> bytes:
        """Return the task of a due time, as it goes to the queue.

        Args:
            due: the due time, in ms since the epoch.
            now: when it is made, UTC.
        """
        lasts = self.expires_in
        return encode_task(
            task_id=self.task_id(due),
            task_type=self.task_type,
            payload=self.payload,
            created_at=now,
            timeout=self.timeout,
            max_attempts=self.max_attempts,
            expires_at=None if lasts is None else now + timedelta(seconds=lasts),
        )

    def size(self) -> int:
        """Return how many bytes a task has."""
        return len(self.body(0, _SOME_DAY))


def declare(
    when: str,
    task_type: str,
    payload: Mapping[str, Any] | None,
    timezone: str | None,
    **terms: Any,
) -> Recurrence:
    """Check what `Handlers.every` was told.

    Args:
        when: see `read_schedule`.
        task_type: what its tasks have in `type`.
        payload: their payload; a later change of it reaches none of them.
        timezone: see `read_schedule`.
        terms: the other attributes of a `Recurrence`.

    Raises:
        ScheduleError: it is never due.
        RecurrenceError: no task can be made of it.
    """
    recurrence = Recurrence(
        task_type=task_type,
        payload={} if payload is None else payload,
        schedule=read_schedule(when, timezone),
        **terms,
    )
    _check_life(recurrence.expires_in)
    try:
        # What its tasks' readers would refuse is refused here.
        decode_task(recurrence.body(0, _SOME_DAY))
    except MessageError as error:
        raise RecurrenceError(f"makes no task: {error}") from None
    _check_name(recurrence.name)
    return evolve(recurrence, payload=deepcopy(recurrence.payload))


def _check_life(seconds: object) -> None:
    if seconds is None:
        return
    if not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_LIFE:
        raise RecurrenceError(
            f"has expires_in={seconds!r}; it must be above 0 s and at most a year"
        )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise RecurrenceError(
            f"has the name {name!r}, expected a text of 1 to {_LONGEST_NAME} printable characters"
        )
