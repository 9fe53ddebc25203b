"""What is written of a moment in a worker's or a task's life: names and texts, never a payload."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, assert_never

from actors import Settled
from messages import (
    Cancelled,
    DeadLetter,
    Delivery,
    Failed,
    Outcome,
    Postponed,
    Reason,
    Rejected,
    Released,
    Retried,
    Run,
    Succeeded,
    Undecodable,
)

Record = tuple[str, ...]
"""Names and texts in turn, as XADD takes them."""

WORKER_STARTED: Final = "worker_started"
WORKER_DRAINED: Final = "worker_drained"
TASK_STARTED: Final = "task_started"
TASK_SUCCEEDED: Final = "task_succeeded"
TASK_FAILED: Final = "task_failed"
TASK_RETRIED: Final = "task_retried"
TASK_DEAD_LETTERED: Final = "task_dead_lettered"
TASK_CANCELLED: Final = "task_cancelled"


class Writer:
    """Writes the records of one worker.

    Args:
        worker_id: its name.
    """

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id

    def started(self, at: datetime, queues: Sequence[str], slots: int) -> Record:
        """Write that the worker takes tasks."""
        return (
            *self._head(WORKER_STARTED, at),
            *("queues", ",".join(queues)),
            *("slots", str(slots)),
        )

    def drained(self, at: datetime, answered: int, failed: int, unsettled: int) -> Record:
        """Write that the worker has drained, and what it did in its life."""
        return (
            *self._head(WORKER_DRAINED, at),
            *("answered", str(answered)),
            *("failed", str(failed)),
            *("unsettled", str(unsettled)),
        )

    def began(self, at: datetime, delivery: Delivery) -> Record:
        """Write that a handler begins."""
        return (*self._head(TASK_STARTED, at), *_task(delivery))

    def ended(self, at: datetime, outcome: Outcome, answer: Settled) -> Iterator[Record]:
        """Write how a task ended here: in one record, in two if it is put away, or in none.

        What is no longer ours is another worker's to tell, and what the server has refused to
        settle hasn't ended.
        """
        if answer in {Settled.STALE, Settled.FAILED}:
            return
        head = (*_task(outcome.delivery),)
        if answer is Settled.CANCELLED:
            yield (*self._head(TASK_CANCELLED, at), *head)
            return
        match outcome:
            case Succeeded(run=run):
                yield (*self._head(TASK_SUCCEEDED, at), *head, *_run(run))
            case Retried(run=run, error_type=kind, after=after):
                more = ("error_type", kind, "after_ms", f"{after * 1000:.0f}")
                yield (*self._head(TASK_RETRIED, at), *head, *_run(run), *more)
            case Failed(run=run, error_type=kind):
                why = ("reason", Reason.ATTEMPTS_EXHAUSTED.value, "error_type", kind)
                yield (*self._head(TASK_FAILED, at), *head, *_run(run), *why)
                yield (*self._head(TASK_DEAD_LETTERED, at), *head, *why)
            case Rejected(run=run, reason=reason):
                put_away = ("reason", reason.value)
                if outcome.delivery.task_id is not None:
                    yield (*self._head(TASK_FAILED, at), *head, *_run(run), *put_away)
                yield (*self._head(TASK_DEAD_LETTERED, at), *head, *put_away)
            case Cancelled():
                yield (*self._head(TASK_CANCELLED, at), *head)
            case Postponed() | Released():
                return
            case _:
                assert_never(outcome)

    def buried(self, at: datetime, queue: str, letter: DeadLetter) -> Iterator[Record]:
        """Write that a dead worker's task was put away, and answered if its id could be read."""
        fields = (*_of_letter(letter, queue), "reason", letter.reason.value)
        if letter.task_id:
            yield (*self._head(TASK_FAILED, at), *fields)
        yield (*self._head(TASK_DEAD_LETTERED, at), *fields)

    def dropped(self, at: datetime, queue: str, letter: DeadLetter) -> Record:
        """Write that a dead worker's task was dropped instead, for it had been cancelled."""
        return (*self._head(TASK_CANCELLED, at), *_of_letter(letter, queue))

    def _head(self, event: str, at: datetime) -> Record:
        time = at.isoformat().replace("+00:00", "Z")
        return ("event", event, "time", time, "worker_id", self._worker_id)


def _task(delivery: Delivery | Undecodable) -> Record:
    if isinstance(delivery, Undecodable):
        known = () if delivery.task_id is None else ("task_id", delivery.task_id)
        return (*known, "queue", delivery.queue)
    task = delivery.task
    return (
        *("task_id", task.id),
        *("type", task.type),
        *("queue", delivery.queue),
        *("attempt", str(task.attempt)),
    )


def _of_letter(letter: DeadLetter, queue: str) -> Record:
    known = (("task_id", letter.task_id), ("type", letter.task_type))
    of_task = tuple(word for name, text in known if text for word in (name, text))
    attempt = ("attempt", str(letter.attempts)) if letter.attempts else ()
    return (*of_task, "queue", queue, *attempt)


def _run(run: Run | None) -> Record:
    return () if run is None else ("duration_ms", f"{run.duration * 1000:.1f}")
