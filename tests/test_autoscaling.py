"""The simulation of autoscaling, and the document that shows its figures."""

from pathlib import Path

import pytest

from benchmarks.autoscaling.loads import Load
from benchmarks.autoscaling.policies import ByLength, ByWait, Fixed
from benchmarks.autoscaling.simulation import Simulation
from benchmarks.autoscaling.table import GOAL, Row, rows
from runtime.pool.decision import Goal

_DOCUMENT = Path(__file__).parents[1] / "docs" / "autoscaling.md"


@pytest.fixture(scope="module")
def found() -> list[Row]:
    """All loads under all policies."""
    return list(rows())


def test_the_document_shows_what_is_simulated(found: list[Row]) -> None:
    """Each row of the document's table is what `make simulate` prints."""
    lines = [line for line in _DOCUMENT.read_text().splitlines() if line.count("|") == 10]
    assert lines[2:] == [str(row) for row in found]


def test_the_pool_keeps_its_target(found: list[Row]) -> None:
    """Under every load no task waits for longer than the target with the pool."""
    ours = [row for row in found if row.policy == "`pool`"]
    assert len(ours) == 7
    assert all(row.figures.wait(1.0) <= GOAL.target_wait for row in ours)


def test_the_pool_waits_less_for_the_same_cost(found: list[Row]) -> None:
    """Where loads change for minutes, the pool's p95 is below a fixed number's of more cost."""
    changing = {"steps", "bursts", "a day in an hour", "long tasks", "random"}
    for ours, fixed in zip(found[::3], found[1::3], strict=True):
        assert ours.figures.worker_seconds <= fixed.figures.worker_seconds
        if ours.load in changing:
            assert ours.figures.wait(0.95) < fixed.figures.wait(0.95)


def test_a_list_alone_retires_busy_workers(found: list[Row]) -> None:
    """By the list's length more busy workers are retired, and tasks wait longer, than by wait."""
    for ours, listed in zip(found[::3], found[2::3], strict=True):
        if ours.load != "bursts":
            assert listed.figures.cut > ours.figures.cut
            assert listed.figures.wait(0.95) > ours.figures.wait(0.95)


def test_a_simulated_worker_runs_its_slots() -> None:
    """Three tasks of a second on two slots: one waits for a second, and all cost two."""
    load = Load("three", 2.0, ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0)))
    figures = Simulation(load, Fixed(1), Goal()).run()
    assert figures.waits == (0.0, 0.0, 1.0)
    assert figures.worker_seconds == pytest.approx(2.0)


def test_a_simulated_worker_that_is_retired_ends_what_it_runs() -> None:
    """A retired worker is paid until its task has ended, and every task is run."""
    tasks = tuple((0.1 * number, 3.0) for number in range(30))
    for policy in (ByWait(Goal(1, 5)), ByLength(Goal(1, 5), 2)):
        figures = Simulation(Load("some", 60.0, tasks), policy, Goal(1, 5)).run()
        assert len(figures.waits) == 30
        assert figures.worker_seconds >= 90 / 2
