import math

from hypothesis import given
from hypothesis import strategies as st

from runtime.pool.decision import CALM, Calm, Goal, Load, decide

_GOALS = st.builds(
    lambda least, more, wait, slots: Goal(least, least + more, wait, slots),
    st.integers(1, 5),
    st.integers(0, 60),
    st.floats(0.1, 60),
    st.integers(1, 10),
)
_LOADS = st.builds(
    Load,
    arrival_rate=st.floats(0, 1000),
    service_time=st.floats(0.0001, 100),
    backlog=st.integers(0, 10_000),
    oldest=st.floats(0, 1000),
)
_ANY = Goal(1, 1000, 5.0, 2)


@given(load=_LOADS, workers=st.integers(1, 100), goal=_GOALS)
def test_it_stays_within_the_bounds(load: Load, workers: int, goal: Goal) -> None:
    """Whatever the load, there are at least `least` workers and at most `most`."""
    assert goal.least <= decide(load, workers, goal).workers <= goal.most


@given(load=_LOADS, more=st.integers(0, 10_000), workers=st.integers(1, 100), goal=_GOALS)
def test_a_larger_backlog_never_means_fewer_workers(
    load: Load, more: int, workers: int, goal: Goal
) -> None:
    """With all else alike, the number never falls as the backlog grows."""
    larger = Load(load.arrival_rate, load.service_time, load.backlog + more, load.oldest)
    assert decide(larger, workers, goal).workers >= decide(load, workers, goal).workers


@given(load=_LOADS, faster=st.floats(1, 100), workers=st.integers(1, 100), goal=_GOALS)
def test_more_arrivals_never_mean_fewer_workers(
    load: Load, faster: float, workers: int, goal: Goal
) -> None:
    """With all else alike, the number never falls as tasks come faster."""
    busier = Load(load.arrival_rate * faster, load.service_time, load.backlog, load.oldest)
    assert decide(busier, workers, goal).workers >= decide(load, workers, goal).workers


@given(load=_LOADS, workers=st.integers(1, 60), starting=st.integers(0, 3), goal=_GOALS)
def test_it_never_shrinks_while_tasks_wait_too_long(
    load: Load, workers: int, starting: int, goal: Goal
) -> None:
    """While the oldest task has waited for longer than the target, no worker is retired."""
    workers = goal.bounded(workers)
    late = Load(load.arrival_rate, load.service_time, load.backlog + 1, goal.target_wait + 0.1)
    assert decide(late, workers, goal, starting=starting).workers >= workers


def test_late_tasks_bring_another_worker_when_the_others_have_started() -> None:
    """What waits too long brings one more worker, but not before the last one has started."""
    late = Load(arrival_rate=0, service_time=0.001, backlog=1, oldest=6)
    assert decide(late, 3, _ANY).workers == 4
    assert decide(late, 4, _ANY, starting=1).workers == 4


@given(load=_LOADS, workers=st.integers(1, 100), goal=_GOALS)
def test_a_steady_load_changes_the_number_at_most_once(
    load: Load, workers: int, goal: Goal
) -> None:
    """Under the same load, what was decided once is decided again: nothing flaps."""
    steady = Load(load.arrival_rate, load.service_time, load.backlog, 0.0)
    first = decide(steady, workers, goal).workers
    assert decide(steady, first, goal).workers == first


@given(
    rate=st.floats(1, 500),
    drop=st.floats(0.78, 1),
    took=st.floats(0.01, 2),
    slots=st.integers(1, 8),
)
def test_noise_changes_nothing(rate: float, drop: float, took: float, slots: int) -> None:
    """Arrivals that fall by a fifth after the pool has grown for them retire nobody."""
    goal = Goal(1, 100_000, 5.0, slots)
    grown = decide(Load(rate, took), 1, goal).workers
    assert decide(Load(rate * drop, took), grown, goal).workers == grown


@given(workers=st.integers(1, 100), goal=_GOALS)
def test_without_work_only_the_least_remain(workers: int, goal: Goal) -> None:
    """With nothing to do the number is the least that is allowed."""
    assert decide(Load(), workers, goal).workers == goal.least


@given(rate=st.floats(0, 500), took=st.floats(0.001, 10), workers=st.integers(1, 1000))
def test_the_slots_suffice_for_what_arrives(rate: float, took: float, workers: int) -> None:
    """There are always more slots than arrivals keep busy, so that no backlog grows for ever."""
    chosen = decide(Load(rate, took), workers, Goal(1, 1_000_000, 5.0, 2)).workers
    assert chosen * 2 >= rate * took
    assert chosen <= max(workers, math.ceil(rate * took / 0.8 / 2 + 1))


def test_a_backlog_is_begun_within_the_target() -> None:
    """What waits brings as many slots as begin all of it within the target."""
    assert decide(Load(0, 1.0, 100), 1, Goal(1, 100, 5.0, 2)).workers == 10
    assert decide(Load(0, 1.0, 100), 1, Goal(1, 100, 10.0, 2)).workers == 5


def test_one_task_that_waits_needs_one_slot() -> None:
    """Tasks that take longer than the target bring one slot each, not more."""
    assert decide(Load(0, 600.0, 4), 1, Goal(1, 100, 5.0, 2)).workers == 2


def test_the_reason_says_what_is_out_of_bounds() -> None:
    """A reason names busy slots, what waits, and how many workers would be needed."""
    reason = decide(Load(0, 1.0, 100, 2.0), 1, Goal(1, 4, 5.0, 2)).reason
    assert reason == (
        "arrivals keep 0.0 slots busy, 100 wait, the oldest for 2.0 s; 10 workers would be needed"
    )


@given(decided=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 9)), min_size=1, max_size=60))
def test_calm_is_the_largest_number_of_the_last_seconds(decided: list[tuple[float, int]]) -> None:
    """The number grows at once, and is the largest that was decided within the time of calm."""
    calm, now, history = Calm(), 0.0, []
    for pause, workers in decided:
        now += pause
        history.append((now, workers))
        within = [number for at, number in history if now - at <= CALM]
        assert calm.steadied(workers, 0.1, now) == max(within)


def test_calm_takes_longer_where_tasks_do() -> None:
    """With tasks of 20 s a minute must be quiet before a worker is retired."""
    calm = Calm()
    calm.steadied(4, 20.0, 0.0)
    assert calm.steadied(1, 20.0, 59.0) == 4
    assert calm.steadied(1, 20.0, 61.0) == 1
