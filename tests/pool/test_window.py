import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pool.figures import Look
from runtime.pool.restarts import Restarts
from runtime.pool.window import SPAN, Ended, QueueLook, ServiceTime, Window


def _steady(window: Window, seconds: float, rate: float, look: QueueLook, took: float) -> float:
    """Let the queue grow from a look at a rate; return the arrivals that were found at the end."""
    found = 0.0
    for step in range(int(seconds * 2) + 1):
        waiting = look.waiting + int(rate * step / 2)
        now = QueueLook(waiting, look.held, look.busy, b"head", None)
        found = window.add({"q": now}, took, step / 2).arrival_rate
    return found


def test_arrivals_are_growth_and_what_ends() -> None:
    """Tasks that come are found, those that make the queue longer and those that are run."""
    grown = _steady(Window(), SPAN, 3.0, QueueLook(held=4, busy=4), took=0.5)
    assert grown == pytest.approx(3.0 + 4 / 0.5, abs=0.2)


def test_a_jump_is_seen_within_two_seconds() -> None:
    """Arrivals that jump count at once, and those that stop soon count no more."""
    window, waiting = Window(), 0
    found = []
    for step, rate in enumerate([2] * 20 + [40] * 8 + [0] * 12):
        waiting += rate // 2
        load = window.add({"q": QueueLook(waiting, head=b"head")}, 0.1, step / 2)
        found.append(load.arrival_rate)
    assert max(found[:20]) < 4
    assert found[23] > 25
    assert found[-1] < 2


@given(st.lists(st.integers(8, 12), min_size=20, max_size=40))
def test_chance_is_no_jump(arrivals: list[int]) -> None:
    """A rate that scatters no more than chance has it is the average of several seconds."""
    window, waiting = Window(), 0
    for step, arrived in enumerate(arrivals):
        waiting += arrived
        load = window.add({"q": QueueLook(waiting, head=b"head")}, 0.1, step / 2)
    assert load.arrival_rate == pytest.approx(sum(arrivals[-16:]) / SPAN, abs=1e-6)


def test_a_backlog_that_is_there_at_the_start_is_no_arrival() -> None:
    """What waits when the pool starts counts as backlog, not as a rate."""
    load = Window().add({"q": QueueLook(waiting=2000, head=b"head")}, 0.1, 7.0)
    assert (load.arrival_rate, load.backlog) == (0.0, 2000)


def test_a_backlog_that_is_worked_off_is_no_arrival() -> None:
    """While nothing is pushed, busy slots that shorten the queue make no arrivals."""
    window = Window()
    for step in range(21):
        look = QueueLook(waiting=1000 - 40 * step, held=8, busy=8, head=b"head")
        load = window.add({"q": look}, 0.1, step / 2)
    assert load.arrival_rate == pytest.approx(0.0, abs=0.5)


def test_the_oldest_is_believed_within_what_was_seen() -> None:
    """A head's own age counts, but no more than since the queue was last seen empty."""
    window = Window()
    window.add({"q": QueueLook()}, 0.1, 100.0)
    ancient = QueueLook(1, head=b"a", head_age=1e9)
    assert window.add({"q": ancient}, 0.1, 103.0).oldest == 3.0
    young = QueueLook(1, head=b"b", head_age=0.5)
    assert window.add({"q": young}, 0.1, 105.0).oldest == 0.5


def test_a_head_waits_at_least_since_it_was_first_seen() -> None:
    """A head whose producer's clock is ahead has still waited for as long as it was seen there."""
    window = Window()
    ahead = QueueLook(1, head=b"a", head_age=0.0)
    window.add({"q": ahead}, 0.1, 100.0)
    assert window.add({"q": ahead}, 0.1, 104.0).oldest == 4.0


def test_a_paused_queue_has_no_oldest_task() -> None:
    """Where no worker could take, nobody waits for a worker."""
    window = Window()
    paused = QueueLook(0, head=b"a", head_age=50.0)
    window.add({"q": paused}, 0.1, 0.0)
    assert window.add({"q": paused}, 0.1, 9.0).oldest == 0.0


def test_a_killed_worker_makes_no_arrivals() -> None:
    """Tasks that go from the dead back to the queue aren't new."""
    window = Window()
    window.add({"q": QueueLook(waiting=5, held=2, busy=0, head=b"a")}, 1.0, 0.0)
    load = window.add({"q": QueueLook(waiting=7, held=0, busy=0, head=b"b")}, 1.0, 1.0)
    assert load.arrival_rate == 0.0


@given(
    waiting=st.lists(st.integers(0, 1000), min_size=1, max_size=40),
    busy=st.integers(0, 50),
    age=st.floats(0, 1e9) | st.none(),
)
def test_no_figure_is_ever_negative(waiting: list[int], busy: int, age: float | None) -> None:
    """Whatever is seen, rates and ages are 0 or more."""
    window = Window()
    for step, count in enumerate(waiting):
        look = QueueLook(count, busy, busy, b"%d" % count if count else None, age)
        load = window.add({"q": look}, 1.0, float(step))
        assert load.arrival_rate >= 0
        assert load.oldest >= 0
        assert load.backlog == count


def test_service_time_is_what_all_workers_tell() -> None:
    """The time that a task takes is that of all workers, also of those that have ended."""
    found = ServiceTime()
    found.note({"a": Ended(), "b": Ended()}, 0.0)
    found.note({"a": Ended(500, 50.0), "b": Ended(500, 150.0)}, 1.0)
    assert found.note({"b": Ended(500, 150.0)}, 2.0) == pytest.approx(0.2, abs=0.001)


def test_service_time_forgets() -> None:
    """What ended more than a minute ago counts no more."""
    found = ServiceTime()
    found.note({"a": Ended(1000, 10.0)}, 0.0)
    assert found.note({"a": Ended(2000, 5010.0)}, 61.0) == pytest.approx(5.0, abs=0.01)


def test_service_time_is_kept_while_nothing_runs() -> None:
    """A pool that idles still knows how long tasks took before."""
    found = ServiceTime()
    assert found.note({}, 0.0) == 1.0
    found.note({"a": Ended(999, 100.0)}, 1.0)
    assert found.note({"a": Ended(999, 100.0)}, 500.0) == pytest.approx(0.1, abs=0.005)


def test_what_runs_for_long_is_noticed_before_it_ends() -> None:
    """The time that running tasks have run counts, so a slow kind is noticed before its end."""
    found = ServiceTime()
    assert found.note({"a": Ended(0, 40.0)}, 0.0) == 41.0
    found = ServiceTime()
    found.note({"a": Ended(9, 0.9)}, 0.0)
    assert found.note({"a": Ended(9, 58.1)}, 30.0) == pytest.approx(5.9, abs=0.1)


def test_two_pools_share_the_load() -> None:
    """A pool's share is that of its slots among all; alone, or with none yet, it is all."""
    look = Look({}, {"a-1#x": 2, "a-2#y": 2, "b-1#z": 4})
    assert look.share(["a-1", "a-2"]) == 0.5
    assert look.share([]) == 1.0
    assert Look({}, {"a-1#x": 2}).share(["a-1"]) == 1.0


def test_pauses_grow_while_workers_end_soon() -> None:
    """Each worker that ends soon doubles the pause, up to half a minute; one that served, not."""
    restarts = Restarts()
    assert [restarts.ended(0.0, 0.0) for _ in range(4)] == [0.25, 0.5, 1.0, 2.0]
    assert not restarts.allowed(1.9)
    assert restarts.allowed(2.0)
    assert max(restarts.ended(1.0, 0.0) for _ in range(40)) == 30.0
    assert restarts.ended(3600.0, 100.0) == 0.25
