"""A handler: a function, and how it is to be run."""

from collections.abc import Callable
from typing import Any, Literal

from attrs import frozen

from actors.context import Context
from actors.control import Backoff
from actors.payloads import PayloadReader

RunIn = Literal["loop", "thread", "process"]
"""Where a handler runs."""


class HandlerError(TypeError):
    """A handler or a recurring task that can't be; the text names it and says what to change."""


@frozen(eq=False)
class Handler:
    """A function and how it is to be run.

    Attributes:
        task_type: the type of task that it runs.
        function: the function.
        name: its name for people.
        read: builds its payload from a decoded JSON object.
        threaded: whether it is a plain function and runs in a thread.
        in_process: whether it is a plain function and runs in a process of its own.
        takes_context: whether it wants a `Context`.
        queue: where its tasks lie, if it was said.
        timeout: seconds that it may run, if it was said.
        retry: how it is retried, if it was said.
    """

    task_type: str
    function: Callable[..., Any]
    name: str
    read: PayloadReader
    threaded: bool
    takes_context: bool
    queue: str | None = None
    timeout: float | None = None
    retry: Backoff | None = None
    in_process: bool = False

    def arguments(self, payload: object, context: Context) -> tuple[object, ...]:
        """Return what a `def` handler is called with."""
        return (payload, context) if self.takes_context else (payload,)
