"""What a handler may know of its task, and what it may say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen
from loguru import logger

from actors.notes import MAX_STATE_BYTES, Notes, StateTooLargeError, checked
from messages import decode_state, encode_state

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime

    from loguru import Logger

_LARGE: Final = 2**31
"""From here on a number is checked more closely."""


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
        notes: where `progress` and `save` write.
    """

    task_id: str
    task_type: str
    queue: str
    worker_id: str
    attempt: int
    deadline: datetime
    notes: Notes = field(factory=Notes, repr=False)

    @property
    def logger(self) -> Logger:
        """A logger that says the task's id, type and attempt with each line."""
        return logger.bind(task_id=self.task_id, task_type=self.task_type, attempt=self.attempt)

    @property
    def saved(self) -> Any:
        """What an earlier run of this task has saved last; None if none has. A copy each time."""
        state = self.notes.state
        return None if state is None else decode_state(state)

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far the task is, as often as you like: nothing is sent here.

        Args:
            done: how much is done, in any unit.
            total: how much there is to do in all, if that is known.

        Raises:
            TypeError: one of them is no number.
            ValueError: one of them is no number from 0 to 2**53.
        """
        # Whole numbers are the common case, and a loop may call this a million times.
        if type(done) is not int or not 0 <= done < _LARGE:
            done = checked("done", done)
        if total is not None and (type(total) is not int or not 0 <= total < _LARGE):
            total = checked("total", total)
        self.notes.progress = (done, total)

    def save(self, state: object) -> Awaitable[None]:
        """Save a state from which the next run goes on, in place of the one before.

        In an `async def`, await it. In a `def`, whether it runs in a thread or in a process, it
        has been saved when this returns. It is written as it is at the call, and kept till the
        task is answered; the next run, after a failed attempt, a drain or the worker's death,
        finds it in `saved`. A cancellation leaves this state or the one before.

        Args:
            state: any JSON value of at most 64 KiB.

        Raises:
            UnencodableError: the state isn't JSON.
            StateTooLargeError: it is too large.
            TaskLostError: the task is no longer this run's, and nothing was saved.
            RefusedError: the server refuses it.
        """
        body = encode_state(state)
        if len(body) > MAX_STATE_BYTES:
            raise StateTooLargeError(len(body))
        return self.notes.save(body)
