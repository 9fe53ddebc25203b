"""The registry of handlers: which function runs which type of task."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeVar, get_args, get_type_hints

from attrs import field, frozen

from actors.context import Context
from actors.control import Backoff
from actors.payloads import PayloadReader, reader_for
from actors.recurrences import Recurrence, RecurrenceError, declare
from actors.schedules import ScheduleError

_LONGEST_TIMEOUT: Final = 31_536_000
"""Seconds; the same bound as a task's own time-out."""

Function = TypeVar("Function", bound=Callable[..., Any])

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
        options = _Options(queue or self._queue, timeout, retry or self._retry, run_in)

        def register(function: Function) -> Function:
            self._add(_inspect(task_type, function, options))
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


@frozen
class _Parameters:
    payload: inspect.Parameter
    context: inspect.Parameter | None = field(default=None)


@frozen
class _Options:
    queue: str | None
    timeout: float | None
    retry: Backoff | None
    run_in: RunIn | None


def _inspect(task_type: str, function: Callable[..., Any], options: _Options) -> Handler:
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise HandlerError(
            f"handler {function!r} isn't a function; decorate a `def` or an `async def`"
        )
    name = f"{function.__module__}.{function.__qualname__}"
    if not task_type:
        raise HandlerError(f"handler {name} is for an empty type; a type is a non-empty text")
    timeout = options.timeout
    if timeout is not None and not 0 < timeout <= _LONGEST_TIMEOUT:
        raise HandlerError(
            f"handler {name} has timeout={timeout!r}; it must be above 0 s and at most a year"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(f"handler {name} is a generator; return a result instead of yielding")
    _check_place(name, function, options.run_in)
    parameters = _parameters(name, function)
    try:
        annotation = get_type_hints(function)[parameters.payload.name]
    except KeyError:
        raise HandlerError(
            f"handler {name} doesn't say what its payload is; annotate the parameter "
            f"`{parameters.payload.name}` with a class or with dict"
        ) from None
    except NameError as error:
        raise HandlerError(
            f"handler {name} has an annotation that can't be read: {error}"
        ) from None
    read = reader_for(annotation)
    if read is None:
        raise HandlerError(
            f"handler {name} takes a payload of type {annotation!r}, which can't be built from a "
            "JSON object; annotate it with an attrs class, a dataclass, a TypedDict or dict"
        )
    return Handler(
        task_type=task_type,
        function=function,
        name=name,
        read=read,
        threaded=not inspect.iscoroutinefunction(function) and options.run_in != "process",
        in_process=options.run_in == "process",
        takes_context=parameters.context is not None,
        queue=options.queue,
        timeout=timeout,
        retry=options.retry,
    )


def _check_place(name: str, function: Callable[..., Any], run_in: RunIn | None) -> None:
    """Refuse a place where the function can't run."""
    if run_in is None:
        return
    if run_in not in get_args(RunIn):
        raise HandlerError(
            f"handler {name} has run_in={run_in!r}; it must be 'loop', 'thread' or 'process'"
        )
    if inspect.iscoroutinefunction(function) != (run_in == "loop"):
        raise HandlerError(
            f"handler {name} has run_in={run_in!r}; an `async def` runs in 'loop', "
            "a `def` in 'thread' or 'process'"
        )
    if run_in == "process":
        _check_importable(name, function)


def _check_importable(name: str, function: Callable[..., Any]) -> None:
    """Refuse what another process couldn't find by its name."""
    if inspect.ismethod(function) or not function.__qualname__.isidentifier():
        raise HandlerError(
            f"handler {name} can't run in a process, which finds it by name; define it with `def` "
            "at the top level of a module"
        )
    module = sys.modules.get(function.__module__)
    if module is None or (
        getattr(module, "__spec__", None) is None and getattr(module, "__file__", None) is None
    ):
        raise HandlerError(
            f"handler {name} can't run in a process, which imports its module; write "
            f"{function.__module__} into a file"
        )


def _parameters(name: str, function: Callable[..., Any]) -> _Parameters:
    """Find the payload and the context among a function's parameters."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    all_of_them = list(inspect.signature(function).parameters.values())
    given = [parameter for parameter in all_of_them if parameter.kind in positional]
    needed = [
        parameter
        for parameter in all_of_them
        if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY
    ]
    required = [parameter for parameter in given if parameter.default is parameter.empty]
    if not given or needed or len(required) > 2:  # noqa: PLR2004 - payload and context
        raise HandlerError(
            f"handler {name} takes {inspect.signature(function)}; a handler takes "
            "(payload) or (payload, context)"
        )
    is_context = len(given) > 1 and (
        len(required) > 1 or given[1].name == "context" or given[1].annotation is Context
    )
    return _Parameters(given[0], given[1] if is_context else None)
