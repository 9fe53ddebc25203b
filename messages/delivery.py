"""A task that this worker holds, or a body that turned out to be no task."""

from msgspec import Struct

from messages.errors import MalformedTaskError
from messages.task import Task


class Delivery(Struct, frozen=True, eq=False):
    """A task that this worker holds.

    Attributes:
        task: the decoded task.
        raw: its very bytes, as they lie in the inflight list; they are its name there (I8).
        queue: where it came from and goes back to.
        number: this worker's count of deliveries; released ones go back in this order (I3).
        taken_at: when the worker got it, in seconds of the event loop's clock.
        saved: the number of the newest state that its run here has saved, or may have; 0 if none.
        first_run: the span context of its run here, if that was traced and its first.
    """

    task: Task
    raw: bytes
    queue: str
    number: int
    taken_at: float
    saved: int = 0
    first_run: str | None = None

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.id


class Undecodable(Struct, frozen=True, eq=False):
    """A body that this worker holds and that is no task.

    Attributes:
        error: what is wrong with it.
        raw: its very bytes.
        queue: where it came from.
    """

    error: MalformedTaskError
    raw: bytes
    queue: str

    @property
    def task_id(self) -> str | None:
        """Its id, if one can be read."""
        return self.error.task_id
