"""When a recurring task is due: schedules, and how people write them.

All times are whole milliseconds since the epoch. A schedule knows no clock: every worker that reads
the same text finds the same due times.
"""

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import field, frozen
from cronsim import CronSim, CronSimError

from messages import parse_duration

_SHORTEST: Final = 1_000
"""Milliseconds of the shortest interval."""

_LONGEST: Final = 31_536_000_000
"""Milliseconds of the longest interval; a year."""

_FIELDS: Final = 5
"""Of a cron expression: minute, hour, day of the month, month, day of the week."""

_EXAMPLES: Final = "'30s', '5m' or '1h', or a cron expression of five fields such as '0 3 * * *'"


class ScheduleError(ValueError):
    """A text that is no schedule; says what came and what was expected."""


@frozen
class Interval:
    """Due at each whole multiple of so many milliseconds since the epoch.

    Attributes:
        length: the milliseconds.
    """

    length: int

    def following(self, time: int) -> int | None:
        """Return the first due time after a time."""
        return (time // self.length + 1) * self.length

    def latest(self, due: int, time: int) -> int:
        """Return the last due time up to a time, knowing an earlier one."""
        return max(due, time // self.length * self.length)


@frozen
class Cron:
    """Due when a cron expression says so, in a time zone.

    Where clocks are put forward, a fixed time of day that doesn't exist is due when the gap ends;
    where they are put back, one that comes twice is due the first time. Expressions with `*` in
    the hour or the minute go by the time that passes, as Debian's cron does; in a zone that is
    changed by half an hour (Lord Howe is the one) they may leave a due time of that day out.

    Attributes:
        expression: its five fields.
        zone: whose time of day it means.
    """

    expression: str
    zone: tzinfo = field(default=UTC)

    def following(self, time: int) -> int | None:
        """Return the first due time after a time, or None if none comes in 50 years."""
        for due in CronSim(self.expression, datetime.fromtimestamp(time // 1000, self.zone)):
            found = int(due.timestamp()) * 1000
            # In the hour that comes twice a fixed time of day was due the first time.
            if found > time:
                return found
        return None

    def latest(self, due: int, time: int) -> int:
        """Return the last due time up to a time, knowing an earlier one.

        Halves what is between them: there may be years of minutes.
        """
        while (known := self.following(due)) is not None and known <= time:
            due = known
            middle = self.following((due + time) // 2)
            if middle is not None and middle <= time:
                due = middle
            else:
                time = (due + time) // 2
        return due


Schedule = Interval | Cron


def read_schedule(when: str, timezone: str | None = None) -> Schedule:
    """Read a duration or a cron expression.

    Args:
        when: `30s`, `5m`, `1h`, or the five fields of a cron expression.
        timezone: whose time of day a cron expression means, a name of the IANA database; UTC if
            it isn't said.

    Raises:
        ScheduleError: it can't be read, or is never due.
    """
    if not isinstance(when, str):
        raise ScheduleError(f"is due every {when!r}, expected a text: {_EXAMPLES}")
    seconds = parse_duration(when)
    if seconds is not None:
        return _interval(when, seconds, timezone)
    if len(when.split()) > 1:
        return _read_cron(when, timezone)
    raise ScheduleError(f"is due every {when!r}, expected {_EXAMPLES}")


def _interval(when: str, seconds: float, timezone: str | None) -> Interval:
    if timezone is not None:
        raise ScheduleError(
            f"has timezone={timezone!r}, which means nothing to the interval {when!r}; leave it "
            "out, or write a cron expression"
        )
    if not _SHORTEST <= seconds * 1000 <= _LONGEST:
        raise ScheduleError(f"is due every {when!r}, expected from 1s to 8760h (a year)")
    return Interval(round(seconds * 1000))


def _read_cron(expression: str, timezone: str | None) -> Cron:
    came = f"is due at {expression!r}"
    fields = expression.split()
    if len(fields) != _FIELDS:
        raise ScheduleError(
            f"{came}, expected five fields (minute, hour, day of the month, month, day of the "
            f"week), got {len(fields)}"
        )
    cron = Cron(" ".join(fields), UTC if timezone is None else _read_zone(timezone))
    try:
        ever = cron.following(0)
    except CronSimError as error:
        raise ScheduleError(
            f"{came}, which is no cron expression: {str(error).lower()}; expected five fields "
            "such as '*/15 8-17 * * MON-FRI'"
        ) from None
    if ever is None:
        raise ScheduleError(f"{came}, a day that never comes; change the day or the month")
    return cron


def _read_zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ScheduleError(
            f"has timezone={name!r}, which this machine doesn't know; expected a name such as "
            "'UTC' or 'Europe/Berlin' (the package tzdata brings them along)"
        ) from None
