"""What a function that is to be a handler says of itself: parameters, annotations, place."""

import inspect
import sys
from collections.abc import Callable
from typing import Any, Final, get_args, get_type_hints

from attrs import field, frozen

from actors.context import Context
from actors.control import Backoff
from actors.handler import Handler, HandlerError, RunIn
from actors.payloads import reader_for

_LONGEST_TIMEOUT: Final = 31_536_000
"""Seconds; the same bound as a task's own time-out."""


@frozen
class _Parameters:
    payload: inspect.Parameter
    context: inspect.Parameter | None = field(default=None)


@frozen
class Options:
    """What was said of a handler beside its type and its function; see `Handlers.on`."""

    queue: str | None
    timeout: float | None
    retry: Backoff | None
    run_in: RunIn | None


def inspected(task_type: str, function: Callable[..., Any], options: Options) -> Handler:
    """Make a handler of a function.

    Raises:
        HandlerError: it can't be one; the text names it and says what to change.
    """
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
