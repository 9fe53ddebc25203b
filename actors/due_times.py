"""Which due times of a recurring task are fired: a plain function, from values to values.

All times are milliseconds since the epoch by the server's clock.
"""

from typing import Final

from attrs import frozen

from actors.schedules import Schedule

WINDOW: Final = 10_000
"""Milliseconds for which each missed due time is still fired: workers may die and be replaced
within it. What is missed for longer is caught up once."""

_AHEAD: Final = 3_600_000
"""Milliseconds by which the last fired time may be ahead before it counts as a mistaken clock's."""


@frozen
class Firing:
    """What is to be fired now.

    Attributes:
        dues: the due times that get a task each; none if only the time is to be noted.
        upto: the time up to which all is fired then.
    """

    dues: tuple[int, ...]
    upto: int


def decide(schedule: Schedule, fired: int | None, now: int) -> Firing | None:
    """Decide what is to be fired, or return None if nothing is due.

    A task that is seen for the first time begins now. If all that was missed is younger than the
    window, each due time is fired; otherwise the latest one alone.

    Args:
        schedule: when it is due.
        fired: the time up to which it was fired, or None if it is seen for the first time.
        now: the time.
    """
    if fired is None or fired > now + _AHEAD:
        return Firing((), now)
    first = schedule.following(fired)
    if first is None or first > now:
        # So too where the clock was set back: what is fired isn't fired again.
        return None
    if first < now - WINDOW:
        latest = schedule.latest(first, now)
        return Firing((latest,), latest)
    dues = [first]
    while (due := schedule.following(dues[-1])) is not None and due <= now:
        dues.append(due)
    return Firing(tuple(dues), dues[-1])
