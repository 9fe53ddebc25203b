"""The task on whose behalf this code runs, so that each line of the log can say it.

An executor notes it around a run. It is a context variable: tasks that a handler starts, and the
thread of a `def` handler, have it too; handlers in processes note it there.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from messages import Task

if TYPE_CHECKING:
    from loguru import Record


@frozen
class TaskName:
    """What a line of the log says of its task.

    Attributes:
        id: the task's id.
        type: its type.
        attempt: the number of the run.
        trace: ids of the run's trace and span, in a process that has no other way to know them.
    """

    id: str
    type: str
    attempt: int
    trace: Mapping[str, str] = field(factory=dict)


current_task: Final[ContextVar[Task | TaskName | None]] = ContextVar("current_task", default=None)
"""The task that is run here; None where no task is run."""


def name_task(record: "Record") -> None:
    """Add the task's id, type and attempt to a line; a patcher for `logger.configure`.

    A worker's process sets it up. A service that embeds a worker does so itself, if it likes:
    `logger.configure(patcher=name_task)`.
    """
    task = current_task.get()
    if task is not None:
        named = {"task_id": task.id, "task_type": task.type, "attempt": task.attempt}
        trace = task.trace if isinstance(task, TaskName) else {}
        record["extra"] = {**named, **trace, **record["extra"]}
