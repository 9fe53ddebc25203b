"""How far a running task is."""

from datetime import datetime

from attrs import frozen


@frozen
class Progress:
    """What a worker says of a task that it runs, beside the task's result-to-be.

    Attributes:
        task_id: the task's id.
        type: the task's type.
        queue: where the task came from.
        worker_id: who runs it.
        started_at: when this run began, UTC.
        attempt: the number of this run.
        updated_at: when this was written, UTC.
        done: how much is done, in whatever unit the handler counts; None if it hasn't said.
        total: how much there is to do in all; None if it hasn't said.
    """

    task_id: str
    type: str
    queue: str
    worker_id: str
    started_at: datetime
    attempt: int
    updated_at: datetime
    done: float | None = None
    total: float | None = None
