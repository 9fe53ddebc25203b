"""From an outcome to what the broker stores: the answer's JSON and the dead letter."""

from datetime import datetime
from typing import Final, assert_never

import msgspec
from attrs import frozen

from actors.broker import Settlement
from messages import (
    DeadLetter,
    Delivery,
    Failed,
    MalformedTaskError,
    Outcome,
    Reason,
    Rejected,
    Released,
    Result,
    Run,
    Succeeded,
    Task,
    encode_result,
    encode_value,
)

_LONGEST: Final = 4_000
"""Characters of an error that are kept."""


def settlement(outcome: Outcome, worker_id: str, now: datetime) -> Settlement | None:
    """Return how an outcome ends its task, or None if the task is given back."""
    match outcome:
        case Succeeded(delivery, run, value):
            result = _result(delivery.task, run, worker_id, now, value, success=True)
            return Settlement(delivery.raw, delivery.task.id, result)
        case Failed(delivery, run, error, error_type):
            result = _failure(delivery.task, run, worker_id, now, _clean(error), error_type)
            return Settlement(delivery.raw, delivery.task.id, result)
        case Rejected(delivery, run, reason, error):
            subject = (
                Subject(delivery.raw, task=delivery.task)
                if isinstance(delivery, Delivery)
                else Subject(delivery.raw, malformed=delivery.error)
            )
            return rejection(subject, reason, error, worker_id, now, run=run)
        case Released():
            return None
        case _:
            assert_never(outcome)


@frozen
class Subject:
    """What is put away: a body, and what could be read of it.

    Attributes:
        raw: the body.
        task: what it decodes to, if it does.
        malformed: why it doesn't, if not.
    """

    raw: bytes
    task: Task | None = None
    malformed: MalformedTaskError | None = None

    @property
    def task_id(self) -> str | None:
        """Its id, if one can be read."""
        if self.task is not None:
            return self.task.id
        return self.malformed.task_id if self.malformed is not None else None

    @property
    def task_type(self) -> str | None:
        """Its type, if one can be read."""
        if self.task is not None:
            return self.task.type
        return self.malformed.task_type if self.malformed is not None else None


def rejection(  # noqa: PLR0913 - the parts of a dead letter
    subject: Subject,
    reason: Reason,
    error: str,
    worker_id: str,
    now: datetime,
    *,
    run: Run | None = None,
    deaths: int | None = None,
) -> Settlement:
    """Return the end of what can't be run: a dead letter, and an answer if it has an id."""
    error = _clean(error)
    task, task_id = subject.task, subject.task_id
    counted = task.deaths if task is not None else 0
    dead = DeadLetter(
        raw=subject.raw,
        reason=reason,
        error=error,
        worker_id=worker_id,
        time=now,
        task_id=task_id,
        task_type=subject.task_type,
        attempts=task.attempt if task is not None and run is not None else 0,
        deaths=counted if deaths is None else deaths,
    )
    if task_id is None:
        return Settlement(subject.raw, None, None, dead)
    if task is not None:
        answer = _failure(task, run, worker_id, now, error, reason.value)
    else:
        answer = encode_result(
            Result(
                task_id=task_id,
                worker_id=worker_id,
                timestamp=now,
                success=False,
                result=_error(error, reason.value),
                type=subject.task_type or "",
                attempt=1,
            )
        )
    return Settlement(subject.raw, task_id, answer, dead)


def _clean(text: str) -> str:
    """Return a text of bounded length that can be written as UTF-8, whatever a handler raised."""
    bounded = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return bounded.encode(errors="replace").decode()


def _failure(  # noqa: PLR0913, PLR0917 - the parts of a failure
    task: Task, run: Run | None, worker_id: str, now: datetime, error: str, error_type: str
) -> bytes:
    return _result(task, run, worker_id, now, bytes(_error(error, error_type)), success=False)


def _error(error: str, error_type: str) -> msgspec.Raw:
    return msgspec.Raw(encode_value({"error": error, "error_type": error_type}))


def _result(  # noqa: PLR0913 - the parts of an answer
    task: Task, run: Run | None, worker_id: str, now: datetime, value: bytes, *, success: bool
) -> bytes:
    started_at, duration_ms, queue_ms = None, None, None
    if run is not None:
        started_at = run.started_at
        duration_ms = round(run.duration * 1000, 3)
        queue_ms = round((started_at - task.created_at).total_seconds() * 1000, 3)
    return encode_result(
        Result(
            task.id,
            worker_id,
            now,
            success,
            msgspec.Raw(value),
            task.type,
            task.attempt,
            started_at,
            duration_ms,
            queue_ms,
        )
    )
