"""From an outcome to what the broker stores: the answer, the dead letter, or the next attempt."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, assert_never

import msgspec
from attrs import frozen

from actors.broker import Delay, Settlement
from messages import (
    Cancelled,
    DeadLetter,
    Delivery,
    Failed,
    MalformedTaskError,
    Outcome,
    PastError,
    Postponed,
    Reason,
    Rejected,
    Released,
    Result,
    Retried,
    Run,
    Succeeded,
    Task,
    Undecodable,
    encode_result,
    encode_value,
    rewrite_task,
)

_LONGEST: Final = 4_000
"""Characters of an error that are kept."""

_LONGEST_PAST: Final = 500
"""Characters of an earlier attempt's error that are kept: it travels in the task."""

_PAST_KEPT: Final = 10
"""Earlier attempts whose errors travel in the task."""


def settlement(
    outcome: Outcome, worker_id: str, now: datetime, token: Callable[[], str]
) -> Settlement | None:
    """Return how an outcome ends its task, here, or None if the task is given back.

    Args:
        outcome: what became of a delivery.
        worker_id: who answers.
        now: when, UTC.
        token: makes the nonces of changed bodies.
    """
    match outcome:
        case Succeeded(delivery, run, value):
            result = _result(delivery.task, run, worker_id, now, value, success=True)
            return Settlement(delivery.raw, delivery.task.id, result)
        case Retried() | Postponed():
            return _delayed(outcome, worker_id, now, token())
        case Failed(delivery, run, error, error_type, traceback):
            return rejection(
                Subject(delivery.raw, task=delivery.task),
                Reason.ATTEMPTS_EXHAUSTED,
                error,
                worker_id,
                now,
                run=run,
                error_type=error_type,
                traceback=traceback,
            )
        case Rejected(delivery, run, reason, error):
            return rejection(_subject(delivery), reason, error, worker_id, now, run=run)
        case Cancelled(delivery):
            return Settlement(delivery.raw, delivery.task_id, None)
        case Released():
            return None
    assert_never(outcome)


def _delayed(outcome: Retried | Postponed, worker_id: str, now: datetime, nonce: str) -> Settlement:
    """Return how a task goes to the delayed ones."""
    delivery = outcome.delivery
    if isinstance(outcome, Retried):
        delay = Delay(_next_body(outcome, worker_id, now, nonce), outcome.after)
    else:
        # From here on the server's clock says when: a worker's clock that is behind it would send
        # the task to and fro.
        body = rewrite_task(delivery.raw, nonce=nonce, not_before=None)
        delay = Delay(body, at=outcome.until)
    return Settlement(delivery.raw, delivery.task.id, None, delay=delay)


def _next_body(outcome: Retried, worker_id: str, now: datetime, nonce: str) -> bytes:
    """Write the task as its next attempt: it carries what went wrong so far (I7)."""
    task = outcome.delivery.task
    past = PastError(
        attempt=task.attempt,
        error=_clean(outcome.error, _LONGEST_PAST),
        error_type=_clean(outcome.error_type, _LONGEST_PAST),
        worker_id=worker_id,
        time=now,
    )
    errors = (*task.errors, past)[-_PAST_KEPT:]
    changes: dict[str, object] = {**saves_noted(task, outcome.delivery.saved)}
    if outcome.delivery.first_run is not None:
        changes["first_run"] = outcome.delivery.first_run
    return rewrite_task(
        outcome.delivery.raw, nonce=nonce, attempt=task.attempt + 1, errors=errors, **changes
    )


def saves_noted(task: Task, number: int, deaths: int = 0) -> dict[str, int]:
    """Return what changes in a task's body when it has saved a state, or nothing if it hasn't.

    Who saves something new gets on, so the deaths before it count no more (I7).

    Args:
        task: the task.
        number: the number of its newest state.
        deaths: those since it was saved.
    """
    return {"saved": number, "deaths": deaths} if number > task.saved else {}


def released_body(delivery: Delivery, token: Callable[[], str]) -> bytes | None:
    """Return what goes back to the queue for a task that is given back; None for its own bytes."""
    changes = saves_noted(delivery.task, delivery.saved)
    return rewrite_task(delivery.raw, nonce=token(), **changes) if changes else None


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


def _subject(delivery: Delivery | Undecodable) -> Subject:
    if isinstance(delivery, Delivery):
        return Subject(delivery.raw, task=delivery.task)
    return Subject(delivery.raw, malformed=delivery.error)


def rejection(  # noqa: PLR0913 - the parts of a dead letter
    subject: Subject,
    reason: Reason,
    error: str,
    worker_id: str,
    now: datetime,
    *,
    run: Run | None = None,
    deaths: int | None = None,
    error_type: str = "",
    traceback: str = "",
) -> Settlement:
    """Return the end of what can't be run: a dead letter, and an answer if it has an id."""
    error = _clean(error)
    error_type = _clean(error_type)
    kind = error_type or reason.value
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
        error_type=error_type,
        traceback=_clean(traceback),
        errors=task.errors if task is not None else (),
    )
    if task_id is None:
        return Settlement(subject.raw, None, None, dead)
    if task is not None:
        value = bytes(_error(error, kind))
        answer = _result(task, run, worker_id, now, value, success=False)
    else:
        answer = encode_result(
            Result(
                task_id=task_id,
                worker_id=worker_id,
                timestamp=now,
                success=False,
                result=_error(error, kind),
                type=subject.task_type or "",
                attempt=1,
            )
        )
    return Settlement(subject.raw, task_id, answer, dead)


def _clean(text: str, longest: int = _LONGEST) -> str:
    """Return a text of bounded length that can be written as UTF-8, whatever a handler raised."""
    bounded = text if len(text) <= longest else text[: longest - 1] + "…"
    return bounded.encode(errors="replace").decode()


def _error(error: str, error_type: str) -> msgspec.Raw:
    return msgspec.Raw(encode_value({"error": error, "error_type": error_type}))


def _result(  # noqa: PLR0913 - the parts of an answer
    task: Task, run: Run | None, worker_id: str, now: datetime, value: bytes, *, success: bool
) -> bytes:
    started_at, duration_ms, queue_ms = None, None, None
    if run is not None:
        started_at = run.started_at
        duration_ms = round(run.duration * 1000, 3)
        queue_ms = round(run.waited * 1000, 3)
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
