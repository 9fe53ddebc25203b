"""The registry of handlers: which function runs which type of task."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from actors.control import Backoff
from actors.handler import Handler, HandlerError, RunIn
from actors.recurrences import Recurrence, RecurrenceError, declare
from actors.schedules import ScheduleError
from actors.signatures import Options, inspected

Function = TypeVar("Function", bound=Callable[..., Any])


class Handlers(Mapping[str, Handler]):
    """Handlers by task type.

    Args:
        queue: where the tasks of these handlers lie, unless one says otherwise.
        retry: attempts and waits of these handlers, unless one says otherwise.
    """

    def __init__(self, *, queue: str | None = None, retry: Backoff | None = None) -> None:
        self._queue = queue
        self._retry = retry
        self._handlers: dict[str, Handler] = {}
        self._recurrences: dict[str, Recurrence] = {}

    def __getitem__(self, task_type: str) -> Handler:
        return self._handlers[task_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)

    def __repr__(self) -> str:
        return f"Handlers({', '.join(self._handlers) or 'none'})"

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that these handlers name, in order of registration."""
        named = (handler.queue for handler in self._handlers.values())
        return tuple(dict.fromkeys(queue for queue in named if queue))

    @property
    def recurrences(self) -> tuple[Recurrence, ...]:
        """The recurring tasks, in order of declaration."""
        return tuple(self._recurrences.values())

    def on(
        self,
        task_type: str,
        *,
        queue: str | None = None,
        timeout: float | None = None,
        retry: Backoff | None = None,
        run_in: RunIn | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for a type of task.

        An `async def` runs on the event loop, a `def` in a worker thread or, where that is asked
        for, in a process. Its first parameter is the payload, built as its annotation says; a
        second one, if there is one, the `Context`.

        Args:
            task_type: what producers write in `type`.
            queue: where such tasks lie.
            timeout: seconds that a run may take; by default the worker's.
            retry: attempts and waits; by default those of the registry, else `Backoff()`.
            run_in: `"process"` for a `def` that computes for long or calls C code that isn't
                trusted: it can be ended at any time, and takes nobody with it when it crashes. It
                must be defined at the top level of a module.

        Raises:
            HandlerError: the type is taken, or the function can't be a handler; names it.
        """
        options = Options(queue or self._queue, timeout, retry or self._retry, run_in)

        def register(function: Function) -> Function:
            self._add(inspected(task_type, function, options))
            return function

        return register

    def every(  # noqa: PLR0913 - what may be said of a recurring task, by keyword
        self,
        when: str,
        task_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        queue: str | None = None,
        timezone: str | None = None,
        timeout: float | None = None,
        max_attempts: int | None = None,
        expires_in: float | None = None,
    ) -> None:
        """Let a task be pushed again and again, once for each due time, by whichever worker lives.

        Args:
            when: an interval such as `30s`, `5m` or `1h`, counted from the epoch so that all
                workers agree; or the five fields of a cron expression.
            task_type: the task's type.
            payload: its payload; `{}` if not given.
            name: tells it from all other recurring tasks of the server, and with the due time is
                the id of each of its tasks; by default the type.
            queue: where its tasks go; by default where the handler of the type is served, else
                this registry's.
            timezone: whose time of day a cron expression means, such as `Europe/Berlin`; by
                default UTC.
            timeout: seconds that a run may take; by default the handler's.
            max_attempts: runs in all; by default the handler's.
            expires_in: seconds after its push in which it isn't started any more.

        Raises:
            HandlerError: the name is taken, or there can be no such task; names it.
        """
        known = task_type if name is None else name
        try:
            recurrence = declare(
                when,
                task_type,
                payload,
                timezone,
                name=known,
                queue=queue,
                default_queue=self._queue,
                timeout=timeout,
                max_attempts=max_attempts,
                expires_in=expires_in,
            )
        except (ScheduleError, RecurrenceError) as error:
            raise HandlerError(f"recurring task {known!r} {error}") from None
        self._add_recurrence(recurrence)

    def include(self, others: "Handlers | Iterable[Handler]") -> None:
        """Add the handlers of another registry, and its recurring tasks.

        Args:
            others: the registry, or handlers alone.

        Raises:
            HandlerError: a type or a recurring task's name is taken.
        """
        if isinstance(others, Handlers):
            for recurrence in others.recurrences:
                self._add_recurrence(recurrence)
            others = others.values()
        for handler in others:
            self._add(handler)

    def _add_recurrence(self, recurrence: Recurrence) -> None:
        if recurrence.name in self._recurrences:
            raise HandlerError(
                f"recurring task {recurrence.name!r} is there already; give each one a name of its "
                "own with name=…"
            )
        self._recurrences[recurrence.name] = recurrence

    def _add(self, handler: Handler) -> None:
        taken = self._handlers.get(handler.task_type)
        if taken is not None:
            raise HandlerError(
                f"handler {handler.name} is for type {handler.task_type!r}, which {taken.name} "
                "already handles; give each type one handler"
            )
        self._handlers[handler.task_type] = handler
