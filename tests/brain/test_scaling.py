"""Who comes and who goes when a cluster is scaled: a plain function, no server."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from runtime.brain.scaling import Steps, Worker, plan
from tests.brain.conftest import STORED_NOW


def worker(name: str, status: str, minutes: int = 0, *, stopping: bool = False) -> Worker:
    return Worker(name, status, STORED_NOW - timedelta(minutes=minutes), stopping)


CREW = [
    worker("busy", "busy", 9),
    worker("busy-old", "busy", 20),
    worker("active", "active", 5),
    worker("idle", "idle", 1),
    worker("idle-old", "idle", 2),
]


def test_the_idle_go_first_and_the_busy_last() -> None:
    """Idle before active before busy; among equals whoever was active the longest ago."""
    assert plan(CREW, 4).stop == ("idle-old",)
    assert plan(CREW, 3).stop == ("idle-old", "idle")
    assert plan(CREW, 1) == Steps(stop=("idle-old", "idle", "active"), leave=("busy-old",))


def test_those_about_to_leave_stay_before_others_are_spawned() -> None:
    """Upwards, the most recently active of those who were to stop is kept first."""
    crew = [
        worker("a", "busy", 3, stopping=True),
        worker("b", "busy", 2, stopping=True),
        worker("c", "idle"),
    ]
    assert plan(crew, 2) == Steps(resume=("b",))
    assert plan(crew, 5) == Steps(spawn=2, resume=("b", "a"))


def test_a_target_that_is_met_changes_nothing() -> None:
    """Those about to leave don't count as workers that stay."""
    assert plan([worker("a", "busy", stopping=True), worker("b", "active")], 1) == Steps()


workers = st.builds(
    worker,
    st.integers().map(str),
    st.sampled_from(["active", "idle", "busy"]),
    st.integers(0, 100),
    stopping=st.booleans(),
)


@given(st.lists(workers, max_size=12, unique_by=lambda one: one.id), st.integers(0, 12))
def test_any_crew_comes_to_its_target(crew: list[Worker], target: int) -> None:
    """Exactly `target` stay, no busy one is stopped at once, and nobody is spawned needlessly."""
    steps = plan(crew, target)
    leaving = {one.id for one in crew if one.leaves}
    free = {one.id for one in crew if one.status != "busy"}
    assert len(crew) - len(leaving) + steps.spawn + len(steps.resume) - len(
        steps.stop + steps.leave
    ) == (target)
    assert set(steps.stop) <= free
    assert not set(steps.leave) & (free | leaving)
    assert set(steps.resume) <= leaving
    assert not (steps.grows and steps.shrinks)
    assert steps.spawn == 0 or set(steps.resume) == leaving
