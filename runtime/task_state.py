"""Where a task is: what `TaskQueue.get_task` returns, one class for each place."""

from datetime import datetime
from typing import Any

from attrs import frozen

from messages import Progress


@frozen
class TaskWaiting:
    """It waits in its queue for a worker.

    Attributes:
        task_id: its id.
        queue: where it waits.
        attempt: the number of the run that it waits for; the first is 1.
    """

    task_id: str
    queue: str
    attempt: int


@frozen
class TaskDelayed:
    """It waits for its time: it was pushed for later, or is tried again after a failure.

    Attributes:
        task_id: its id.
        queue: where it goes when it is due.
        until: when that is, UTC, by the server's clock.
        attempt: the number of the run that it waits for.
        error: why the attempt before failed, or None if this is the first.
    """

    task_id: str
    queue: str
    until: datetime
    attempt: int
    error: str | None


@frozen
class TaskRunning:
    """A worker has it.

    Attributes:
        task_id: its id.
        queue: where it came from.
        worker_id: who has it.
        attempt: the number of this run.
        since: when the handler began, UTC; None if that was less than a second ago, or if the
            worker is gone and others are about to notice.
        done: how far the handler says that it is, if it says so.
        total: how far it has to go, if it says so.
    """

    task_id: str
    queue: str
    worker_id: str
    attempt: int
    since: datetime | None
    done: float | None = None
    total: float | None = None


@frozen
class TaskDead:
    """It is a dead letter.

    Attributes:
        task_id: its id.
        queue: whose dead letter it is.
        entry: the dead letter's id.
        reason: the class of the cause.
        error: the cause in one sentence.
        since: when it was put away, as it was written down.
    """

    task_id: str
    queue: str
    entry: str
    reason: str
    error: str
    since: str


@frozen
class TaskCancelled:
    """It was cancelled.

    Attributes:
        task_id: its id.
    """

    task_id: str


@frozen
class TaskAnswered:
    """It has ended.

    Attributes:
        task_id: its id.
        result: its answer.
    """

    task_id: str
    result: dict[str, Any]


@frozen
class TaskUnknown:
    """It is nowhere: it was never pushed, or its answer has expired, an hour after its end.

    Attributes:
        task_id: its id.
    """

    task_id: str


TaskState = (
    TaskWaiting | TaskDelayed | TaskRunning | TaskDead | TaskCancelled | TaskAnswered | TaskUnknown
)


def running(
    task_id: str, queue: str, holder: str, attempt: int, told: Progress | None
) -> TaskRunning:
    """Return the state of a task that a worker has.

    Args:
        task_id: its id.
        queue: where it came from.
        holder: the name under which the worker holds tasks.
        attempt: the number of this run.
        told: what the worker has told of a run, perhaps of an earlier one; or None.
    """
    worker_id = holder.rpartition("#")[0]
    if told is None or told.attempt != attempt or told.worker_id != worker_id:
        return TaskRunning(task_id, queue, worker_id, attempt, None)
    return TaskRunning(task_id, queue, worker_id, attempt, told.started_at, told.done, told.total)
