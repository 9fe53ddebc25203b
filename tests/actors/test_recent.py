"""What was answered in the last minute: plain values, no event loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.recent import Recent
from messages import Answered


def test_answers_are_added_up_by_queue() -> None:
    """Failures, runs and run times are counted apart for each queue."""
    recent = Recent()
    recent.note("a", 10.0, ran=1, seconds=0.5)
    recent.note("a", 11.0, failed=1, ran=1, seconds=1.5)
    recent.note("a", 12.0, failed=1)
    recent.note("b", 12.0, ran=1, seconds=0.25)
    assert recent.answered(12.0) == {"a": Answered(3, 2, 2, 2.0), "b": Answered(1, 0, 1, 0.25)}


def test_nothing_answered_is_nothing() -> None:
    """A worker without answers tells of no queue."""
    assert Recent().answered(1e6) == {}


@given(times=st.lists(st.floats(0, 500), max_size=60).map(sorted), later=st.floats(0, 120))
def test_a_minute_is_looked_back_on(times: list[float], later: float) -> None:
    """What is younger than 55 s counts, what is older than 60 s doesn't."""
    recent = Recent()
    for time in times:
        recent.note("q", time)
    now = (times[-1] if times else 0.0) + later
    found = recent.answered(now).get("q", Answered()).tasks
    young = sum(now - time < 55 for time in times)
    assert young <= found <= sum(now - time <= 60 for time in times)


def test_its_size_is_bounded() -> None:
    """However long a worker runs, no more than a minute is kept."""
    recent = Recent()
    for second in range(10_000):
        recent.note("q", float(second))
    assert repr(recent) == "Recent(12 slices)"
    assert recent.answered(9_999.0)["q"].tasks == pytest.approx(60, abs=5)
