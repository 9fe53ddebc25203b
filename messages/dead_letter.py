"""A task that is put away because it can't be run, with all that an operator needs to judge it."""

from datetime import datetime
from enum import StrEnum

import msgspec
from attrs import frozen

from messages.task import PastError


class Reason(StrEnum):
    """Why a task became a dead letter."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_PAYLOAD = "invalid_payload"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    POISON_PILL = "poison_pill"


@frozen
class DeadLetter:
    """An entry of a queue's dead-letter stream.

    Attributes:
        raw: the task's very bytes (I8).
        reason: the class of the cause.
        error: the cause in one sentence.
        worker_id: who put it away.
        time: when, UTC.
        task_id: the task's id, where one can be read.
        task_type: the task's type, where one can be read.
        attempts: how many runs were counted, the last one included.
        deaths: how many workers have died of it.
        error_type: the name of the class of what the handler raised; or empty.
        traceback: of what the handler raised, shortened; or empty.
        errors: of the attempts before, oldest first.
    """

    raw: bytes
    reason: Reason
    error: str
    worker_id: str
    time: datetime
    task_id: str | None = None
    task_type: str | None = None
    attempts: int = 0
    deaths: int = 0
    error_type: str = ""
    traceback: str = ""
    errors: tuple[PastError, ...] = ()

    def fields(self) -> tuple[str, ...]:
        """Return names and values of the stream entry, in turn, but for the raw bytes (`task`)."""
        return (
            *("reason", self.reason.value),
            *("error", self.error),
            *("worker_id", self.worker_id),
            *("time", self.time.isoformat().replace("+00:00", "Z")),
            *("task_id", self.task_id or ""),
            *("type", self.task_type or ""),
            *("attempts", str(self.attempts)),
            *("deaths", str(self.deaths)),
            *("error_type", self.error_type),
            *("traceback", self.traceback),
            *("errors", msgspec.json.encode(self.errors).decode()),
        )
