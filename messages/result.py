"""The answer that a producer waits for."""

from datetime import datetime
from typing import Final

from msgspec import Raw, Struct

CANCELLED: Final = "Cancelled"
"""The `error_type` in the answer of a task that was cancelled."""


class Result(Struct, frozen=True):
    """A task's answer. The first five fields are the contract's.

    Attributes:
        task_id: the task's id.
        worker_id: who answered.
        timestamp: when, UTC.
        success: whether the handler returned.
        result: a JSON object: what the handler returned, or `error` and `error_type`.
        type: the task's type; empty if none could be read.
        attempt: the number of the run that answered.
        started_at: when the handler began, UTC; None if none ran.
        duration_ms: how long the handler took; None if none ran.
        queue_ms: from the task's `created_at` to the handler's start, by two machines' clocks;
            None if none ran.
    """

    task_id: str
    worker_id: str
    timestamp: datetime
    success: bool
    result: Raw
    type: str
    attempt: int
    started_at: datetime | None = None
    duration_ms: float | None = None
    queue_ms: float | None = None


def cancelled_result(task_id: str, now: datetime) -> Result:
    """Return the answer of a task that is cancelled; no worker gives it, so none is named."""
    error = Raw(f'{{"error":"the task was cancelled","error_type":"{CANCELLED}"}}'.encode())
    # The encoder knows no subclasses of str, such as the id that a push returns.
    return Result(str(task_id), "", now, success=False, result=error, type="", attempt=0)
