"""What went wrong in a handler: in words for its producer, with a traceback for its writer."""

from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException
from typing import Final

import anyio
from attrs import frozen

_LINES: Final = 20
"""The last lines of a traceback that are kept."""

_LONGEST: Final = 4_000
"""Characters of all of them."""

_MACHINERY: Final = (
    str(Path(__file__).with_name("execution.py")),
    str(Path(anyio.__file__).parent),
)
"""What leads to a handler; its frames say nothing about it."""


@frozen(eq=False)
class Failure:
    """Why an attempt failed.

    Attributes:
        error: the cause in one sentence.
        error_type: the name of the class of what was raised, or of the kind of failure.
        raised: what the handler raised, if it did.
    """

    error: str
    error_type: str
    raised: BaseException | None = None


def failure_of(error: BaseException) -> Failure:
    """Describe what a handler raised."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of the user's that can't even be shown
        text = f"the handler raised {kind}, whose text can't be read"
    return Failure(text or kind, kind, error)


def shortened_traceback(error: BaseException | None) -> str:
    """Return the last lines of a traceback, without the frames that led to the handler."""
    if error is None:
        return ""
    try:
        story = TracebackException.from_exception(error, compact=True)
        telling = [frame for frame in story.stack if not _is_machinery(frame)]
        if telling:
            story.stack = StackSummary.from_list(telling)
        lines = [line for part in story.format() for line in part.splitlines()]
    except Exception:  # noqa: BLE001 - it asks classes of the user's, which may raise anything
        return ""
    kept = lines if len(lines) <= _LINES else ["…", *lines[-_LINES:]]
    text = "\n".join(kept)
    return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]


def _is_machinery(frame: FrameSummary) -> bool:
    return frame.filename.startswith(_MACHINERY)
