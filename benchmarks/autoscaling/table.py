"""The figures, as the document has them."""

import math
from collections.abc import Iterator

from attrs import evolve, frozen

from benchmarks.autoscaling.loads import Load, loads
from benchmarks.autoscaling.policies import ByLength, ByWait, Fixed, Policy
from benchmarks.autoscaling.simulation import Figures, Simulation, added, mixed
from runtime.pool.decision import Goal

GOAL = Goal(least=1, most=10, target_wait=5.0, slots=2)
"""What the simulated pools are to keep."""

TOGETHER = "all together"
"""The name of the rows that add all loads up."""

_MOST_TASKS = 40
"""Tasks for each worker, beyond which no scaler by the list's length is tried."""

HEAD = (
    "| load | who decides | mean wait, s | p50 wait, s | p95 wait, s | longest, s "
    "| worker-seconds | on average | flaps | busy ones retired |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


@frozen
class Row:
    """A load under a policy.

    Attributes:
        load: its name.
        policy: its name.
        figures: what came of it.
    """

    load: str
    policy: str
    figures: Figures

    def __str__(self) -> str:
        found = self.figures
        shares = " | ".join(f"{found.wait(share):.2f}" for share in (0.5, 0.95, 1.0))
        waits = f"{found.mean_wait:.3f} | {shares}"
        return (
            f"| {self.load} | {self.policy} | {waits} | {found.worker_seconds:,.0f} "
            f"| {found.mean_workers:.1f} | {found.flaps:.0f} | {found.cut:.0f} |"
        )


def rows() -> Iterator[Row]:
    """Run all loads under all policies, and add them up."""
    found = [row for load in loads() for row in compared(load)]
    yield from found
    for number, name in enumerate(("`pool`", "a fixed number", "by the list's length")):
        yield Row(TOGETHER, name, added([row.figures for row in found[number::3]]))


def compared(load: Load) -> Iterator[Row]:
    """Run a load under the pool's decision, and what costs as much: a fixed number, a length.

    Between two fixed numbers, or two lengths, that cost less and more, it is run with both, and
    each counts by the share that makes the cost the same.
    """
    ours = _run(load, ByWait(GOAL))
    yield Row(load.name, "`pool`", ours)
    size = math.floor(ours.mean_workers)
    few, many = (_fixed(load, workers) for workers in (size, size + 1))
    name = f"{size} to {size + 1} workers"
    yield Row(load.name, name, mixed(few, many, ours.worker_seconds))
    yield _by_length(load, ours.worker_seconds)


def _by_length(load: Load, cost: float) -> Row:
    """Run a load by the list's length, with the tasks for each worker that cost as much."""
    dearer = _run(load, ByLength(GOAL, 1))
    if dearer.worker_seconds <= cost:
        return Row(load.name, "1 for 1 waiting", dearer)
    for tasks in range(2, _MOST_TASKS + 1):
        cheaper = _run(load, ByLength(GOAL, tasks))
        if cheaper.worker_seconds <= cost:
            name = f"1 for {tasks - 1} to {tasks} waiting"
            return Row(load.name, name, mixed(cheaper, dearer, cost))
        dearer = cheaper
    return Row(load.name, f"1 for {_MOST_TASKS} waiting", dearer)


def table() -> str:
    """Return the table in Markdown."""
    return HEAD + "\n".join(str(row) for row in rows())


def _run(load: Load, policy: Policy) -> Figures:
    return Simulation(load, policy, GOAL).run()


def _fixed(load: Load, workers: int) -> Figures:
    return Simulation(load, Fixed(workers), evolve(GOAL, least=workers)).run()
