"""The whole tree, simulated: many workers, faults by plan, I1 to I8 at the end."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from loguru import logger

from actors.due_times import WINDOW
from messages import Reason
from tests.actors.simulation import CHAOS, DAWN, Fault, Plan, Simulation, simulate

faults = st.builds(
    Fault,
    at=st.floats(0, CHAOS - 1),
    kind=st.sampled_from(
        ["kill", "ambush", "freeze", "freeze", "stop", "cancel", "cancel", "pause"]
    ),
    place=st.integers(0, 3),
    value=st.floats(0, 12),
)
plans = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    workers=st.integers(2, 4),
    slots=st.integers(1, 3),
    tasks=st.lists(
        st.sampled_from([0, 0, 0, 0.01, 0.1, 0.5, 2, 7, -0.1]), min_size=20, max_size=200
    ).map(tuple),
    lost=st.sampled_from([0, 0.02, 0.2]),
    failed=st.sampled_from([0, 0.02, 0.2]),
    strict=st.booleans(),
    faults=st.lists(faults, max_size=10).map(tuple),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: a plan makes thousands of lines."""
    logger.disable("actors")
    yield
    logger.enable("actors")


def check(world: Simulation) -> None:
    """Check the invariants at the end of a run."""
    store = world.broker.store
    pushed = {f"t{number:03}": seconds for number, seconds in enumerate(world.plan.tasks)}
    assert world.crashes == []
    # What was saved is found by the next run, and goes with the answer.
    assert world.forgotten == []
    assert not any(store.notes.states.values())
    # I1, I2: each task is answered once, and nothing of it is left.
    assert world.answers() == dict.fromkeys(pushed, 1)
    for queue in ("a", "b"):
        state = store.queue(queue)
        assert state.delayed == {}
        assert (list(state.waiting), state.inflight, state.leases) == ([], {}, {})
    letters = [letter for queue in ("a", "b") for letter in store.queue(queue).dead]
    poisoned = {one.task_id for one in letters if one.reason is Reason.POISON_PILL}
    failed = {task_id for task_id, seconds in pushed.items() if seconds < 0}
    assert {one.task_id for one in letters} - poisoned == failed - poisoned - set(world.cancelled)
    assert not store.cancelled, "a mark without a body"
    for task_id, message in world.published():
        answer = json.loads(message)
        seconds = pushed[task_id]
        if task_id in world.cancelled:
            assert answer["result"]["error_type"] == "Cancelled"
            continue
        # I7: no release and no death counted as an attempt; three deaths make a poison pill.
        assert answer["attempt"] == 2 if seconds < 0 and task_id not in poisoned else 1
        if task_id in poisoned:
            assert answer["result"]["error_type"] == "poison_pill"
            assert len(world.killed) + sum(map(world.doubtful, world.faulty.networks)) >= 3
        elif seconds < 0:
            assert answer["result"]["error"] == f"naïve {int(task_id[1:])}"
        else:
            # I8: the payload came as it was sent.
            assert answer["result"] == {"value": f"naïve {int(task_id[1:])}"}
    for task_id, runs in world.runs.items():
        # I5: nothing is run again while those who ran it lived and could be reached.
        for run in runs[:-1]:
            assert world.doubtful(run.worker_id), (task_id, runs)
        # What was taken before it was cancelled may begin until its worker looks again.
        for run in runs:
            assert run.at <= world.cancelled.get(task_id, run.at) + 5, (task_id, run)
        # I6: nothing begins on a worker that was asked to stop.
        for run in runs:
            assert run.at <= world.stops.get(run.worker_id, run.at), (task_id, run)


# A plan that fails is shown as it came: making it smaller takes longer than a test may.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(deadline=None, max_examples=120, phases=UNSHRUNK, suppress_health_check=list(HealthCheck))
@given(plans)
def test_whatever_goes_wrong_each_task_is_answered_once(plan: Plan) -> None:
    """Kills, cuts, lost replies and stops at any moment: no task is lost or answered twice."""
    check(simulate(plan))


def check_ticks(world: Simulation) -> None:
    """Check that each due time of the recurring task was fired once."""
    assert world.crashes == []
    state = world.broker.store.queue("a")
    left = [*state.waiting, *(raw for raws in state.inflight.values() for raw in raws)]
    names = [*world.answers().elements(), *(json.loads(raw)["id"] for raw in left)]
    ticks = sorted(name.removeprefix("tick@") for name in names if name.startswith("tick@"))
    assert len(ticks) == len(set(ticks)), "a due time was fired twice"
    dues = [datetime.fromisoformat(tick).timestamp() for tick in ticks]
    assert dues[-1] >= DAWN.timestamp() + CHAOS, "it doesn't recur any more"
    # All that is missed is fired, unless nobody could for longer than the window.
    gaps = {later - earlier for earlier, later in pairwise(dues)}
    assert all(gap == 1 or gap > WINDOW / 1000 for gap in gaps), gaps


@settings(deadline=None, max_examples=40, phases=UNSHRUNK, suppress_health_check=list(HealthCheck))
@given(plans)
def test_whatever_goes_wrong_a_due_time_is_fired_once(plan: Plan) -> None:
    """Kills, cuts, lost replies and stops at any moment: a task that recurs does so once a time."""
    check_ticks(simulate(plan, ticks=True))


@pytest.mark.soak
@settings(deadline=None, max_examples=1_500, suppress_health_check=list(HealthCheck))
@given(plans)
def test_whatever_goes_wrong_for_long_each_task_is_answered_once(plan: Plan) -> None:
    """The same, with as many plans as a long run allows."""
    check(simulate(plan))


@settings(deadline=None, max_examples=5, phases=UNSHRUNK, suppress_health_check=list(HealthCheck))
@given(plans)
def test_a_plan_replays_exactly(plan: Plan) -> None:
    """The same plan gives the same run, event by event: a failure can be looked into."""
    once, again = simulate(plan), simulate(plan)

    assert once.events == again.events
    assert once.broker.store.published == again.broker.store.published
