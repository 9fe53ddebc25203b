"""What a handler may know of its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from loguru import logger

if TYPE_CHECKING:
    from datetime import datetime

    from loguru import Logger


@frozen(eq=False)
class Context:
    """A handler's second argument, if it asks for one.

    Attributes:
        task_id: the task's id; the same at each run of it, so effects can be made idempotent by it.
        task_type: the task's type.
        queue: where the task came from.
        worker_id: who runs it.
        attempt: the number of this run; the first is 1.
        deadline: when the handler's time is up, UTC.
    """

    task_id: str
    task_type: str
    queue: str
    worker_id: str
    attempt: int
    deadline: datetime

    @property
    def logger(self) -> Logger:
        """A logger that says the task's id, type and attempt with each line."""
        return logger.bind(task_id=self.task_id, task_type=self.task_type, attempt=self.attempt)
