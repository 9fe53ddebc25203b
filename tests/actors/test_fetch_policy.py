from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fetch_policy import FetchPolicy
from actors.settings import MAX_BATCH

HORIZON = 0.010

slots = st.integers(1, 200)
ages = st.lists(st.floats(0, 100), max_size=20)


def seen(slots: int, *, rate: float, service: float, times: int = 20) -> FetchPolicy:
    """Return the policy of a worker that has shown a pace for a while."""
    policy = FetchPolicy(slots, HORIZON)
    for step in range(times):
        count = max(1, round(step * rate))
        policy.observe(float(step), count, count, count * service)
    return policy


policies = st.builds(
    lambda slots, rate, service, times: seen(slots, rate=rate, service=service, times=times),
    slots,
    st.floats(1, 1e6),
    st.floats(0, 60),
    st.integers(0, 20),
)


def test_nothing_is_known_before_a_task_has_ended() -> None:
    """A new worker takes what its slots can run and not a task more."""
    policy = FetchPolicy(2, HORIZON)

    assert policy.room(0, []) == 2
    assert policy.room(0, [0.0]) == 1
    assert policy.room(0, [0.0, 0.0]) == 0


def test_slow_tasks_are_not_fetched_ahead() -> None:
    """With tasks of 60 s there is no buffer: what is held beyond the slots would wait for long."""
    policy = seen(2, rate=1 / 30, service=60, times=120)

    assert policy.ahead([1.0, 30.0]) == 0
    assert policy.room(0, [1.0, 30.0]) == 0
    assert policy.room(0, [1.0]) == 1


def test_fast_tasks_are_fetched_ahead_for_the_horizon() -> None:
    """With 10,000 tasks a second, 10 ms of work are a hundred of them."""
    policy = seen(2, rate=10_000, service=0.0001)

    assert 95 <= policy.ahead([]) <= 105
    assert 95 <= policy.room(0, [0.0001, 0.0001]) <= 105


def test_a_burst_of_fast_tasks_leaves_nothing_once_slow_ones_run() -> None:
    """What runs now tells more than what has ended: slots filled with slow tasks mean no buffer."""
    policy = seen(1, rate=10_000, service=0.0001)

    assert policy.ahead([0.0001]) > 50
    assert policy.ahead([0.050]) == 0


def test_a_full_buffer_is_left_alone_until_half_of_it_is_used() -> None:
    """Few calls move many tasks: no call is made for one free place in a large buffer."""
    policy = seen(1, rate=10_000, service=0.0001)
    ahead = policy.ahead([0.0])

    assert policy.room(ahead - 1, [0.0]) == 0
    assert policy.room(ahead // 2 + 1, [0.0]) == 0
    assert policy.room(ahead // 2 - 1, [0.0]) > 0


def test_time_without_work_is_no_pace() -> None:
    """After a rest the pace is what it was: an idle hour doesn't make a worker slow."""
    policy = seen(2, rate=10_000, service=0.0001)
    before = policy.ahead([])

    policy.rest()
    policy.observe(3_600.0, 190_001, 190_001, 19.0001)

    assert policy.ahead([]) >= before // 2


@settings(deadline=None)
@given(policy=policies, ages=ages, buffered=st.integers(0, 2000))
def test_never_more_than_a_batch(policy: FetchPolicy, ages: list[float], buffered: int) -> None:
    """No figures make the policy take more than one call may move, or less than nothing."""
    assert 0 <= policy.ahead(ages) <= MAX_BATCH
    assert 0 <= policy.room(buffered, ages) <= MAX_BATCH


@settings(deadline=None)
@given(policy=policies, data=st.data(), buffered=st.integers(0, 300))
def test_older_tasks_never_make_more_room(
    policy: FetchPolicy, data: st.DataObject, buffered: int
) -> None:
    """The longer what runs has run, the less is fetched."""
    young = data.draw(ages)
    old = [age + data.draw(st.floats(0, 10)) for age in young]

    assert policy.ahead(old) <= policy.ahead(young)
    assert policy.room(buffered, old) <= policy.room(buffered, young)


@settings(deadline=None)
@given(policy=policies, ages=ages, buffered=st.integers(0, 300), more=st.integers(0, 300))
def test_a_fuller_buffer_never_makes_more_room(
    policy: FetchPolicy, ages: list[float], buffered: int, more: int
) -> None:
    """The more is held, the less is fetched."""
    assert policy.room(buffered + more, ages) <= policy.room(buffered, ages)


@settings(deadline=None)
@given(
    slots=slots,
    rate=st.floats(1, 1e6),
    service=st.floats(0, 60),
    times=st.integers(0, 20),
    data=st.data(),
)
def test_free_slots_are_always_filled(
    slots: int, rate: float, service: float, times: int, data: st.DataObject
) -> None:
    """Whatever the pace, with nothing buffered there is room for each free slot."""
    policy = seen(slots, rate=rate, service=service, times=times)
    running = data.draw(st.integers(0, slots))

    assert policy.room(0, [1.0] * running) >= slots - running


@settings(deadline=None)
@given(policy=policies, slots=slots, ages=st.lists(st.floats(0.0, 50), min_size=1, max_size=200))
def test_no_buffer_outlasts_the_horizon(policy: FetchPolicy, slots: int, ages: list[float]) -> None:
    """By the ages of what runs, all that is fetched ahead begins within the horizon."""
    policy = seen(slots, rate=1e6, service=0.0)
    mean = sum(ages) / len(ages)

    assert policy.ahead(ages) * mean <= slots * HORIZON * 1.001
