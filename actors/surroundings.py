"""Wall clock and randomness, handed in from outside so that tests choose them.

The time that decides (time-outs, ages, intervals) is `anyio.current_time`, which tests make
virtual; the wall clock only dates what people read.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from random import random
from secrets import token_hex

from attrs import frozen


def utc_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)


def random_token() -> str:
    """Return 48 random bits, in hexadecimal."""
    return token_hex(6)


@frozen
class Surroundings:
    """Where the time of day and chance come from.

    Attributes:
        now: the time, UTC.
        token: a random name.
        draw: a random number from 0 up to 1.
    """

    now: Callable[[], datetime] = utc_now
    token: Callable[[], str] = random_token
    draw: Callable[[], float] = random
