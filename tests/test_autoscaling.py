"""The simulation of autoscaling, and the document that shows its figures."""

from pathlib import Path

import pytest

from benchmarks.autoscaling.loads import Load
from benchmarks.autoscaling.policies import ByLength, ByWait, Fixed
from benchmarks.autoscaling.simulation import Figures, Simulation, mixed
from benchmarks.autoscaling.table import GOAL, Row, rows
from runtime.pool.decision import Goal

_DOCUMENT = Path(__file__).parents[1] / "docs" / "autoscaling.md"


@pytest.fixture(scope="module")
def found() -> list[Row]:
    """All loads under all policies."""
    return list(rows())


def test_the_document_shows_what_is_simulated(found: list[Row]) -> None:
    """Each row of the document's table is what `make simulate` prints."""
    lines = [line for line in _DOCUMENT.read_text().splitlines() if line.count("|") == 11]
    assert lines[2:] == [str(row) for row in found]


def test_the_pool_keeps_its_target(found: list[Row]) -> None:
    """Under every load no task waits for longer than the target with the pool."""
    ours = [row for row in found if row.policy == "`pool`"]
    assert len(ours) == 8
    assert all(row.figures.wait(1.0) <= GOAL.target_wait for row in ours)


def test_the_pool_waits_less_for_the_same_cost(found: list[Row]) -> None:
    """It waits less than a fixed number and a list's length that cost as much, under all loads.

    Under a steady load nothing beats the number that fits it, and under bursts all are at once at
    the most workers there may be: there the waits are about the same.
    """
    for ours, fixed, listed in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert fixed.figures.worker_seconds == pytest.approx(ours.figures.worker_seconds)
        assert listed.figures.worker_seconds <= ours.figures.worker_seconds + 1
        assert _waits_less(ours, fixed) or (
            ours.load == "steady" and ours.figures.wait(0.95) < fixed.figures.wait(0.95) + 0.05
        )
        assert _waits_less(ours, listed) or (
            ours.load == "bursts"
            and ours.figures.waits == listed.figures.waits
            and ours.figures.worker_seconds < 1.02 * listed.figures.worker_seconds
        )


def _waits_less(ours: Row, theirs: Row) -> bool:
    mine, other = ours.figures, theirs.figures
    return mine.mean_wait < other.mean_wait and mine.wait(0.95) < other.wait(0.95)


def test_a_list_alone_retires_busy_workers(found: list[Row]) -> None:
    """By the list's length more busy workers are retired than by wait."""
    for ours, listed in zip(found[::3], found[2::3], strict=True):
        if ours.load != "bursts":
            assert listed.figures.cut > 10 * ours.figures.cut


def test_a_simulated_worker_runs_its_slots() -> None:
    """Three tasks of a second on two slots: one waits for a second, and all cost two."""
    load = Load("three", 2.0, ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0)))
    figures = Simulation(load, Fixed(1), Goal()).run()
    assert figures.waits == ((0.0, 1), (0.0, 1), (1.0, 1))
    assert figures.worker_seconds == pytest.approx(2.0)


def test_a_simulated_worker_that_is_retired_ends_what_it_runs() -> None:
    """A retired worker is paid until its task has ended, and every task is run."""
    tasks = tuple((0.1 * number, 3.0) for number in range(30))
    for policy in (ByWait(Goal(1, 5)), ByLength(Goal(1, 5), 2)):
        figures = Simulation(Load("some", 60.0, tasks), policy, Goal(1, 5)).run()
        assert len(figures.waits) == 30
        assert figures.worker_seconds >= 90 / 2


def test_a_mixture_costs_what_it_is_to_cost() -> None:
    """Between two numbers of workers each counts by its share."""
    cheap = Figures(((4.0, 1.0), (6.0, 1.0)), 100.0, 1.0, 0, 2)
    dear = Figures(((0.0, 1.0), (2.0, 1.0)), 200.0, 2.0, 4, 0)
    found = mixed(cheap, dear, 175.0)
    assert (found.worker_seconds, found.mean_workers) == (175.0, 1.75)
    assert (found.mean_wait, found.tasks, found.flaps, found.cut) == (2.0, 2.0, 3.0, 0.5)
    assert (found.wait(0.0), found.wait(0.5), found.wait(1.0)) == (0.0, 2.0, 6.0)
