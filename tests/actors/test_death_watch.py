from bisect import bisect_right
from itertools import accumulate, cycle, islice

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.broker import Look
from actors.death_watch import Dead, DeathWatch, Timing, Verdict, interval_for

TIMING = Timing()
HOLDER = "w#1"


def leased(pulse: str, slots: int = 2) -> Look:
    return Look({HOLDER: pulse}, {HOLDER: slots}, {})


def unleased(*, owns_tasks: bool) -> Look:
    return Look({}, {}, {HOLDER: owns_tasks})


def watch(
    *looks: tuple[float, Look], took: float = 0.0, watcher: DeathWatch | None = None
) -> list[list[Dead]]:
    """Look at the times given, each look taking `took` seconds; return what each one showed."""
    watcher = watcher or DeathWatch(TIMING)
    return [watcher.look(at, at + took, seen) for at, seen in looks]


def steady(seen: Look, start: float, end: float) -> list[tuple[float, Look]]:
    """Return a look every half second, both ends included."""
    return [(start + step / 2, seen) for step in range(round((end - start) * 2) + 1)]


def test_a_pulse_that_stands_still_is_dead_after_the_lapse() -> None:
    """A holder is reclaimed when its pulse has stood still for the lapse, not before."""
    shown = watch(*steady(leased("7"), 0, 4))

    assert shown[:-1] == [[]] * 8
    assert shown[-1] == [Dead(HOLDER, "7", 2, Verdict.RECLAIM)]


def test_a_change_of_pulse_starts_anew() -> None:
    """A holder that pulsed once in the meantime isn't dead."""
    shown = watch(*steady(leased("7"), 0, 3.5), *steady(leased("8"), 4, 7.5))

    assert shown == [[]] * 16


def test_an_equal_pulse_that_came_back_is_no_evidence() -> None:
    """What counts is that no look showed another value, not that the first and last agree."""
    looks = [*steady(leased("7"), 0, 3.5), (3.75, leased("8")), *steady(leased("7"), 4, 7.5)]

    assert watch(*looks) == [[]] * len(looks)


def test_a_slow_look_starts_anew() -> None:
    """A look that wasn't answered promptly tells of our own trouble: all evidence is dropped."""
    watcher = DeathWatch(TIMING)
    watch(*steady(leased("7"), 0, 3.5), watcher=watcher)

    assert watcher.look(3.6, 3.6 + TIMING.prompt + 0.01, leased("7")) == []
    assert watch(*steady(leased("7"), 4.5, 8), watcher=watcher) == [[]] * 8


def test_a_gap_between_looks_starts_anew() -> None:
    """A watcher that didn't look for a while may have been stopped with all others."""
    shown = watch(*steady(leased("7"), 0, 3), *steady(leased("7"), 3 + TIMING.gap + 0.1, 8))

    assert [dead for dead in shown if dead] == []


def test_a_disturbance_starts_anew() -> None:
    """A broken connection or a failed renewal of the watcher's own drops all evidence."""
    watcher = DeathWatch(TIMING)
    watch(*steady(leased("7"), 0, 3.5), watcher=watcher)

    watcher.disturb()

    assert watch(*steady(leased("7"), 4, 7.5), watcher=watcher) == [[]] * 8


def test_a_holder_with_tasks_and_without_a_lease_is_reclaimed_after_the_lapse() -> None:
    """Tasks that no lease accounts for come back, and none of them counts a death (I7)."""
    shown = watch(*steady(unleased(owns_tasks=True), 0, 4))

    assert shown[-1] == [Dead(HOLDER, None, 0, Verdict.RECLAIM)]
    assert shown[:-1] == [[]] * 8


def test_a_holder_without_anything_is_forgotten_late() -> None:
    """An empty holder is remembered for longer than a wait that may still take a task for it."""
    shown = watch(*steady(unleased(owns_tasks=False), 0, TIMING.oblivion))

    assert shown[-1] == [Dead(HOLDER, None, 0, Verdict.FORGET)]
    assert not any(shown[:-1])


def test_a_task_that_arrives_late_starts_anew() -> None:
    """A holder that was empty and now owns a task is looked at afresh."""
    looks = [*steady(unleased(owns_tasks=False), 0, 59), (59.5, unleased(owns_tasks=True))]

    assert not any(watch(*looks))


def test_holders_are_judged_one_by_one() -> None:
    """One holder's death says nothing of another."""
    looks = [
        (at, Look({"dead": "1", "alive": str(at)}, {"dead": 1, "alive": 1}, {}))
        for at, _ in steady(leased(""), 0, 4)
    ]

    assert watch(*looks)[-1] == [Dead("dead", "1", 1, Verdict.RECLAIM)]


def test_the_interval_grows_with_the_fleet_and_not_for_ever() -> None:
    """Looks stay cheap with many holders, and recovery doesn't become slow."""
    assert interval_for(TIMING, 0) == interval_for(TIMING, 100) == TIMING.interval
    assert interval_for(TIMING, 200) == 2 * TIMING.interval
    assert interval_for(TIMING, 100_000) == 4 * TIMING.interval


def ticks(least: float, most: float) -> st.SearchStrategy[float]:
    """Times that floats represent exactly, so that no rounding decides."""
    return st.integers(round(least * 1024), round(most * 1024)).map(lambda tick: tick / 1024)


@frozen
class Step:
    """What happens to a watcher.

    Attributes:
        pause: seconds before it.
        there: seconds for the question to reach the server.
        back: seconds for the answer to come.
        disturbed: whether something has failed before.
    """

    pause: float
    there: float
    back: float
    disturbed: bool


steps = st.builds(
    Step, ticks(0, 3), ticks(0, 1), ticks(0, 1), st.sampled_from([False] * 9 + [True])
)
quick_steps = st.builds(Step, ticks(0, 0.6), ticks(0, 0.2), ticks(0, 0.2), st.just(value=False))


@settings(deadline=None, max_examples=500)
@given(
    steps=st.lists(steps | quick_steps, max_size=60),
    pulses=st.lists(ticks(0.01, TIMING.lapse - 1 / 1024), min_size=1, max_size=30),
)
def test_a_holder_that_pulses_in_time_never_dies(steps: list[Step], pulses: list[float]) -> None:
    """Whatever gaps, slow looks and disturbances: who pulses within each lapse lives (I5)."""
    changes = list(
        accumulate(islice(cycle(pulses), round(400 / sum(pulses) * len(pulses)) + 1), initial=0.0)
    )
    watcher = DeathWatch(TIMING)
    now = 0.0
    for step in steps:
        if step.disturbed:
            watcher.disturb()
        asked = now + step.pause
        at_server = asked + step.there
        now = at_server + step.back
        pulse = str(bisect_right(changes, at_server))

        assert watcher.look(asked, now, leased(pulse)) == []


@settings(deadline=None)
@given(st.lists(st.tuples(ticks(0.1, 0.5), ticks(0, 0.25), ticks(0, 0.25)), min_size=1))
def test_a_holder_that_stands_still_dies_in_time(beat: list[tuple[float, float, float]]) -> None:
    """With prompt looks a dead holder is found within the lapse and one more look (I4)."""
    watcher = DeathWatch(TIMING)
    now, first = 0.0, None
    for pause, there, back in islice(cycle(beat), 60):
        asked = now + pause
        now = asked + there + back
        first = now if first is None else first
        dead = watcher.look(asked, now, leased("7"))

        assert bool(dead) == (asked - first >= TIMING.lapse)
