"""How the command line reads durations, sizes and names, and says what it can't read."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

from cyclopts import Parameter

from messages import parse_duration
from runtime.errors import ConfigurationError

_SIZE: Final = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?", re.IGNORECASE)
_BYTES: Final = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_LONGEST: Final = 10 * 365 * 86_400.0


class Token(Protocol):
    """What we use of one of cyclopts' tokens."""

    @property
    def keyword(self) -> str | None:
        """The option or environment variable, as it was written."""

    @property
    def value(self) -> str:
        """The text that was given."""


Converter = Callable[[Any, Sequence[Token]], Any]


def read_duration(setting: str, text: str, *, zero: bool) -> float:
    """Read seconds: a plain number, or one with ms, s, m or h.

    Raises:
        ConfigurationError: it is none, or below what is allowed.
    """
    least = "of 0 or more" if zero else "above 0"
    expected = f"seconds {least}, such as 30, 0.5, 500ms, 10m or 1h"
    seconds = parse_duration(text)
    if seconds is None or not (0 <= seconds <= _LONGEST) or (seconds == 0 and not zero):
        raise ConfigurationError(setting, repr(text), expected)
    return seconds


def read_size(setting: str, text: str) -> int:
    """Read bytes: a plain number, or one with KiB, MiB or GiB.

    Raises:
        ConfigurationError: it is none, or 0.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * _BYTES[(match[2] or "B").lower()] if match else 0
    if size < 1:
        raise ConfigurationError(setting, repr(text), "bytes, such as 1048576, 64KiB or 1MiB")
    return size


def read_count(setting: str, text: str) -> int:
    """Read a whole number from 1 on.

    Raises:
        ConfigurationError: it is none.
    """
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit() and int(plain[:10]) > 0 and len(plain) <= 6):  # noqa: PLR2004 - a million of anything here is a slip of the keyboard
        raise ConfigurationError(setting, repr(text), "a whole number from 1 to 999999")
    return int(plain)


def read_port(setting: str, text: str) -> int:
    """Read a TCP port; 0 stands for any that is free.

    Raises:
        ConfigurationError: it is none.
    """
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 5 and int(plain) < 65536):  # noqa: PLR2004 - TCP's ports
        raise ConfigurationError(setting, repr(text), "a port from 0 (any that is free) to 65535")
    return int(plain)


def read_choice(setting: str, text: str, choices: Sequence[str]) -> str:
    """Read one of a few words, in upper or lower case.

    Raises:
        ConfigurationError: it is none of them.
    """
    word = text.strip().lower()
    if word not in choices:
        raise ConfigurationError(setting, repr(text), " or ".join(choices))
    return word


def read_moment(setting: str, text: str) -> datetime:
    """Read a time with its zone.

    Raises:
        ConfigurationError: it is none, or says no zone.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        expected = "a time with its zone, such as 2026-02-17T10:30:00Z or 2026-02-17T11:30+01:00"
        raise ConfigurationError(setting, repr(text), expected)
    return moment


def choice(*choices: str) -> Converter:
    """Return a converter for one of a few words."""
    return _one(lambda setting, text: read_choice(setting, text, choices))


def _one(read: Callable[[str, str], Any]) -> Converter:
    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        # The last one counts, as an option given twice overrides itself.
        return read(tokens[-1].keyword or "the value", tokens[-1].value)

    return convert


def _names(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Read names, one or several (with commas) to each token, without duplicates, in order."""
    names = [name.strip() for token in tokens for name in token.value.split(",")]
    if not all(names):
        written = " ".join(token.value for token in tokens)
        raise ConfigurationError(
            tokens[0].keyword or "the value", repr(written), "names, with commas between them"
        )
    return tuple(dict.fromkeys(names))


def _shown(value: float) -> str:
    return f"{value:g} s"


Duration = Annotated[
    float,
    Parameter(
        converter=_one(lambda setting, text: read_duration(setting, text, zero=False)),
        metavar="SECONDS",
        show_default=_shown,
    ),
]
DurationOrZero = Annotated[
    float,
    Parameter(
        converter=_one(lambda setting, text: read_duration(setting, text, zero=True)),
        metavar="SECONDS",
        show_default=_shown,
    ),
]
Moment = Annotated[datetime, Parameter(converter=_one(read_moment), metavar="TIME")]
Size = Annotated[int, Parameter(converter=_one(read_size), metavar="BYTES")]
Count = Annotated[int, Parameter(converter=_one(read_count), metavar="NUMBER")]
Port = Annotated[int, Parameter(converter=_one(read_port), metavar="PORT")]
Names = Annotated[
    tuple[str, ...],
    Parameter(
        converter=_names, negative="", consume_multiple=False, show_default=False, metavar="NAME"
    ),
]
