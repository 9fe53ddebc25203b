"""What a handler raised, without the secrets of its task's payload: see `messages.redaction`."""

from collections.abc import Callable
from functools import partial
from traceback import TracebackException

import msgspec

from messages.redaction import redact, secrets_in

Hide = Callable[[str], str]
"""Returns a text without what is secret in it."""


def hider(payload: bytes | msgspec.Raw) -> Hide:
    """Return what takes a payload's secrets, and what looks like one, out of texts about it."""
    return partial(redact, secrets=secrets_in(payload))


def concealed(error: BaseException, hide: Hide) -> BaseException:
    """Return an exception as it may be logged: itself, or one that looks alike.

    Whoever formats a traceback asks the exceptions in it for their texts, so a text that holds a
    secret needs an exception of its own, with the same name, place and causes.
    """
    try:
        story = "".join(TracebackException.from_exception(error, compact=True).format())
        return error if hide(story) == story else _look_alike(error, hide, {})
    except Exception:  # noqa: BLE001 - it asks classes of the user's, which may raise anything
        return _shown_as(type(error), "(its text can't be shown)").with_traceback(
            error.__traceback__
        )


def _look_alike(error: BaseException, hide: Hide, known: dict[int, BaseException]) -> BaseException:
    if id(error) in known:
        return known[id(error)]
    if isinstance(error, BaseExceptionGroup):
        parts = [_look_alike(part, hide, known) for part in error.exceptions]
        shown: BaseException = _group_as(type(error), hide(error.message), parts)
    else:
        shown = _shown_as(type(error), hide(str(error)))
    known[id(error)] = shown
    shown.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        shown.add_note(hide(str(note)))
    if error.__cause__ is not None:
        shown.__cause__ = _look_alike(error.__cause__, hide, known)
    if error.__context__ is not None:
        shown.__context__ = _look_alike(error.__context__, hide, known)
    shown.__suppress_context__ = error.__suppress_context__
    return shown


def _shown_as(kind: type[BaseException], text: str) -> BaseException:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    shown: BaseException = type(kind.__name__, (Exception,), names)(text)
    return shown


def _group_as(
    kind: type[BaseException], text: str, parts: list[BaseException]
) -> BaseExceptionGroup[BaseException]:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    group: BaseExceptionGroup[BaseException] = type(kind.__name__, (BaseExceptionGroup,), names)(
        text, parts
    )
    return group
