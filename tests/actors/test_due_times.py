"""Which due times are fired: whatever the clock does and whoever looks, none twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.due_times import WINDOW, Firing, decide
from actors.schedules import Cron, Interval, Schedule
from tests.actors.test_schedules import at, schedules

NOON = at("2026-02-17T12:00Z")
SECOND = Interval(1_000)
MINUTES = Cron("* * * * *")
DAILY = Cron("0 3 * * *")


def test_a_task_that_is_new_begins_now() -> None:
    """What is seen for the first time has missed nothing; its first due time is yet to come."""
    assert decide(SECOND, None, NOON) == Firing((), NOON)


def test_nothing_is_due_before_its_time() -> None:
    """A due time is fired when it has come, not a millisecond earlier."""
    assert decide(MINUTES, NOON, NOON + 59_999) is None
    assert decide(MINUTES, NOON, NOON + 60_000) == Firing((NOON + 60_000,), NOON + 60_000)


def test_what_was_missed_of_late_is_fired_one_by_one() -> None:
    """A worker's death costs no due time: the next one fires all of the last ten seconds."""
    dues = tuple(NOON + 1_000 * number for number in range(1, 10))
    assert decide(SECOND, NOON, NOON + 9_999) == Firing(dues, dues[-1])


def test_what_was_missed_for_long_is_caught_up_once() -> None:
    """While nobody ran for longer than that, the latest due time stands for all."""
    assert decide(SECOND, NOON, NOON + 60_500) == Firing((NOON + 60_000,), NOON + 60_000)
    three_days = NOON + 3 * 86_400_000
    today = at("2026-02-20T03:00Z")
    assert decide(DAILY, NOON, three_days) == Firing((today,), today)
    # Even if the latest has just come.
    assert decide(DAILY, NOON, today + 1) == Firing((today,), today)


def test_a_clock_that_is_set_back_fires_nothing_twice() -> None:
    """What was fired stays fired; the task goes on when its time has come again."""
    assert decide(SECOND, NOON, NOON - 600_000) is None
    assert decide(SECOND, NOON, NOON + 999) is None
    assert decide(SECOND, NOON, NOON + 1_000) == Firing((NOON + 1_000,), NOON + 1_000)


def test_a_clock_that_was_wrong_by_far_does_not_stop_a_task() -> None:
    """A last due time that is more than an hour ahead was a mistake: the task begins anew."""
    assert decide(SECOND, NOON + 3_600_001, NOON) == Firing((), NOON)


looks = st.lists(
    st.one_of(
        st.integers(0, 3_000),
        st.integers(0, 30_000),
        st.integers(0, 400_000_000),
        st.integers(-3_000_000, 0),
    ),
    max_size=40,
)


@pytest.mark.parametrize("start", [NOON, at("2026-03-29T00:30Z"), at("2026-10-24T23:30Z")])
@given(schedules, looks)
def test_no_due_time_is_fired_twice(start: int, schedule: Schedule, steps: list[int]) -> None:
    """However the server's clock goes on, jumps or is set back, due times are fired in order.

    Each is one of the schedule's and not ahead of the clock; and without a long pause none is
    left out.
    """
    now, fired, seen = start, start, [start]
    for step in steps:
        now += step
        if fired > now + 3_000_000:
            now = fired - 3_000_000
        firing = decide(schedule, fired, now)
        first = schedule.following(fired)
        assert first is not None
        if firing is None:
            assert first > now
            continue
        assert firing.upto == firing.dues[-1] <= now
        assert list(firing.dues) == sorted(set(firing.dues))
        assert firing.dues[0] > seen[-1]
        assert all(schedule.following(due - 1) == due for due in firing.dues)
        following = schedule.following(firing.upto)
        assert following is not None
        assert following > now, "something due is left"
        if first >= now - WINDOW:
            counted, time = [], fired
            while (due := schedule.following(time)) is not None and due <= now:
                counted.append(due)
                time = due
            assert list(firing.dues) == counted
        else:
            assert len(firing.dues) == 1
        seen += firing.dues
        fired = firing.upto
