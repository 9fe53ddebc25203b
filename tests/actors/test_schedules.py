"""When recurring tasks are due: what is read, and that all workers find the same times."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.schedules import Cron, Interval, Schedule, ScheduleError, read_schedule

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Adelaide", "Africa/Cairo")
EXPRESSIONS = (
    "* * * * *",
    "*/7 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "15 */6 * * *",
    "0 0 * * MON-FRI",
    "0 0 * * *",
    "0 * * * 5",
    "59 23 28-31 * *",
    "0 12 29 2 *",
    "5 4 * * 1#2",
)


def at(text: str) -> int:
    """Return a time in ms since the epoch."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def dues(schedule: Schedule, start: str, count: int) -> list[str]:
    """Return the next due times, as UTC."""
    found, time = [], at(start)
    for _ in range(count):
        due = schedule.following(time)
        assert due is not None
        time = due
        found.append(datetime.fromtimestamp(time / 1000, UTC).strftime("%m-%d %H:%M"))
    return found


schedules = st.one_of(
    st.builds(Interval, st.integers(1_000, 90_000_000)),
    st.builds(
        Cron, st.sampled_from(EXPRESSIONS), st.sampled_from([ZoneInfo(zone) for zone in ZONES])
    ),
)
# Around the changes of clocks as often as anywhere else, to the millisecond.
changes = st.sampled_from(
    [
        at(moment)
        for moment in (
            "2026-03-29T01:00Z",
            "2026-10-25T01:00Z",
            "2026-03-08T07:00Z",
            "2026-11-01T06:00Z",
            "2026-04-04T16:30Z",
            "2026-10-03T16:30Z",
            "2026-04-23T22:00Z",
            "2026-10-29T21:00Z",
        )
    ]
)
times = st.one_of(
    st.integers(at("2020-01-01T00:00Z"), at("2040-01-01T00:00Z")),
    st.builds(lambda change, beside: change + beside, changes, st.integers(-(10**7), 10**7)),
)


@given(schedules, times, st.floats(0, 1, exclude_max=True))
def test_all_find_the_same_due_times(schedule: Schedule, time: int, share: float) -> None:
    """Whenever a worker begins to look before a due time, that is the one that it finds."""
    due = schedule.following(time)

    assert due is not None
    assert due > time
    between = time + int((due - time) * share)
    assert schedule.following(between) == due
    assert schedule.following(due - 1) == due
    following = schedule.following(due)
    assert following is not None
    assert following > due


@given(schedules, times, st.integers(0, 400_000_000))
def test_the_latest_is_found(schedule: Schedule, time: int, length: int) -> None:
    """The latest due time is the last that counting up from an earlier one leads to."""
    first = schedule.following(time)
    assert first is not None
    end = first + length
    latest = schedule.latest(first, end)

    assert first <= latest <= end
    assert (schedule.following(latest) or end + 1) > end


@pytest.mark.parametrize(
    ("text", "length"),
    [("1s", 1_000), ("1500ms", 1_500), ("30 s", 30_000), ("5m", 300_000), ("1h", 3_600_000)],
)
def test_a_duration_is_an_interval(text: str, length: int) -> None:
    """Durations are written as on the command line."""
    assert read_schedule(text) == Interval(length)


def test_intervals_are_counted_from_the_epoch() -> None:
    """An hour is due at each full hour of UTC, whenever its worker started."""
    assert dues(Interval(3_600_000), "2026-02-17T10:30Z", 2) == ["02-17 11:00", "02-17 12:00"]


def test_a_time_that_does_not_exist_is_due_after_the_gap() -> None:
    """Half past two, on the day on which it is left out, is three o'clock of summer time."""
    schedule = read_schedule("30 2 * * *", "Europe/Berlin")
    assert dues(schedule, "2026-03-27T12:00Z", 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    """Half past two, on the day on which it comes twice, is the first of both."""
    schedule = read_schedule("30 2 * * *", "Europe/Berlin")
    assert dues(schedule, "2026-10-24T12:00Z", 2) == ["10-25 00:30", "10-26 01:30"]
    # Seen from between the two.
    assert dues(schedule, "2026-10-25T01:15Z", 1) == ["10-26 01:30"]


def test_steps_of_an_hour_go_on_through_a_change() -> None:
    """Every half hour stays every half hour when clocks are put back."""
    schedule = read_schedule("*/30 * * * *", "Europe/Berlin")
    found = dues(schedule, "2026-10-25T00:00Z", 5)
    assert found == ["10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00", "10-25 02:30"]


def test_a_zone_says_whose_day_it_is() -> None:
    """The same expression is due at other times in another zone; without one it means UTC."""
    assert dues(read_schedule("0 3 * * *"), "2026-02-17T00:00Z", 1) == ["02-17 03:00"]
    tokyo = read_schedule("0 3 * * *", "Asia/Tokyo")
    assert dues(tokyo, "2026-02-17T00:00Z", 1) == ["02-17 18:00"]


@pytest.mark.parametrize(
    ("when", "timezone", "says"),
    [
        ("soon", None, "is due every 'soon', expected '30s'"),
        ("", None, "is due every '', expected '30s'"),
        (30, None, "is due every 30, expected a text"),
        ("500ms", None, "expected from 1s to 8760h"),
        ("0", None, "expected from 1s to 8760h"),
        ("9" * 400, None, "expected from 1s to 8760h"),
        ("30s", "UTC", "has timezone='UTC', which means nothing to the interval '30s'"),
        ("* * * *", None, "expected five fields (minute, hour, day of the month, month, day of"),
        ("0 * * * * *", None, "got 6"),
        ("61 * * * *", None, "which is no cron expression: bad minute"),
        ("@ @ @ @ @", None, "which is no cron expression"),
        ("0 0 30 2 *", None, "which is no cron expression: bad day-of-month"),
        ("0 0 */31 2 1L", None, "a day that never comes"),
        ("0 3 * * *", "Mars/Olympus", "has timezone='Mars/Olympus', which this machine doesn't"),
        ("0 3 * * *", "", "has timezone=''"),
        ("0 3 * * *", "../passwd", "has timezone='../passwd'"),
        ("0 3 * * *", "Europe", "has timezone='Europe'"),
        ("0 3 * * *", 7, "has timezone=7"),
    ],
)
def test_what_is_no_schedule_is_refused(when: str, timezone: str | None, says: str) -> None:
    """The sentence tells what came and what was expected."""
    with pytest.raises(ScheduleError) as refusal:
        read_schedule(when, timezone)
    assert says in str(refusal.value)


@given(st.text(max_size=20))
@example("1L/2 * * * *")
@example("* * * * L")
@example("* * LW-3 * ²L")
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text is met with another error."""
    try:
        schedule = read_schedule(text)
    except ScheduleError:
        return
    assert schedule.following(0) is not None


def test_due_times_grow() -> None:
    """Due times of a year of changes of clocks grow strictly."""
    for expression in EXPRESSIONS[:9]:
        schedule = read_schedule(expression, "Europe/Berlin")
        time, found = at("2026-03-01T00:00Z"), []
        for _ in range(300):
            time = schedule.following(time) or 0
            found.append(time)
        assert all(earlier < later for earlier, later in pairwise(found))
