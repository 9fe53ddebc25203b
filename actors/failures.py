"""What went wrong in a handler: in words for its producer, with a traceback for its writer."""

from collections.abc import Iterable
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Final

import anyio
import cattrs
from attrs import field, frozen

from actors.concealment import Hide
from actors.processes import HandlerProcessError

_FIRST: Final = 3
_LAST: Final = 17
"""Lines of a long traceback that are kept, at its beginning and its end."""

_LONGEST_LINE: Final = 300
_LONGEST: Final = 4_000
"""Characters of a line, and of all of them."""

_MACHINERY: Final = tuple(
    f"{Path(file).parent}/" for file in (__file__, anyio.__file__, cattrs.__file__)
)
"""Directories whose frames say nothing about the handler."""


@frozen(eq=False)
class Failure:
    """Why an attempt failed.

    Attributes:
        error: the cause in one sentence.
        error_type: the name of the class of what was raised.
        raised: what the handler raised, if it did.
        cut: the cancellation that ended it, if its time was up.
        traceback: as it came from another process; or empty.
    """

    error: str
    error_type: str
    raised: BaseException | None = None
    cut: BaseException | None = field(default=None, kw_only=True)
    traceback: str = field(default="", kw_only=True)


def failure_of(error: BaseException) -> Failure:
    """Describe what a handler raised."""
    if isinstance(error, HandlerProcessError):
        return Failure(error.error, error.error_type, traceback=error.traceback)
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of the user's that can't even be shown
        text = f"the handler raised {kind}, whose text can't be read"
    return Failure(text or kind, kind, error)


def shortened_traceback(failure: Failure, hide: Hide) -> str:
    """Return where a failure came from, without the frames that led to the handler.

    It is empty if nothing was raised, or nothing is known of where.

    Args:
        failure: what went wrong.
        hide: takes secrets out of texts, before anything is shortened.
    """
    error = failure.raised or failure.cut
    if error is None:
        return _shortened(hide(failure.traceback).splitlines())
    try:
        story = TracebackException.from_exception(error, compact=True)
        _strip(story)
        return _shortened(hide("".join(story.format())).splitlines())
    except Exception:  # noqa: BLE001 - it asks classes of the user's, which may raise anything
        return ""


def _strip(story: TracebackException) -> None:
    """Drop the machinery's frames from an exception that has others."""
    others: Iterable[TracebackException | None] = (
        story.__cause__,
        story.__context__,
        *(story.exceptions or ()),
    )
    for other in others:
        if other is not None:
            _strip(other)
    telling = [frame for frame in story.stack if not frame.filename.startswith(_MACHINERY)]
    if telling:
        story.stack = StackSummary.from_list(telling)


def _shortened(lines: Iterable[str]) -> str:
    """Keep the first lines, where the handler was, and the last, which say what went wrong."""
    telling = [line for line in lines if line.strip("~^| ")]
    if len(telling) > _FIRST + _LAST:
        telling = [*telling[:_FIRST], "  …", *telling[-_LAST:]]
    text = "\n".join(
        line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…" for line in telling
    )
    return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]
