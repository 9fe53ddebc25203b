"""The figures, as the document has them."""

import math
from collections.abc import Iterator

from attrs import evolve, frozen

from benchmarks.autoscaling.loads import Load, loads
from benchmarks.autoscaling.policies import ByLength, ByWait, Fixed, Policy
from benchmarks.autoscaling.simulation import Figures, Simulation
from runtime.pool.decision import Goal

GOAL = Goal(least=1, most=10, target_wait=5.0, slots=2)
"""What the simulated pools are to keep."""

PER_WORKER = 10
"""Tasks for each worker of a scaler that goes by the list's length."""

HEAD = (
    "| load | who decides | p50 wait, s | p95 wait, s | longest, s | worker-seconds | on average "
    "| flaps | busy ones retired |\n|---|---|---|---|---|---|---|---|---|\n"
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
        waits = " | ".join(f"{found.wait(share):.2f}" for share in (0.5, 0.95, 1.0))
        return (
            f"| {self.load} | {self.policy} | {waits} | {found.worker_seconds:,.0f} "
            f"| {found.mean_workers:.1f} | {found.flaps} | {found.cut} |"
        )


def rows() -> Iterator[Row]:
    """Run all loads under all policies."""
    for load in loads():
        yield from compared(load)


def compared(load: Load) -> Iterator[Row]:
    """Run a load under the pool's decision, a fixed number of the same cost, and a length."""
    ours = _run(load, ByWait(GOAL))
    yield Row(load.name, "`pool`", ours)
    # Rounded up: what doesn't change its size is given the larger part.
    size = math.ceil(ours.mean_workers)
    fixed = Simulation(load, Fixed(size), evolve(GOAL, least=size)).run()
    yield Row(load.name, f"{size} workers", fixed)
    yield Row(load.name, f"1 for {PER_WORKER} waiting", _run(load, ByLength(GOAL, PER_WORKER)))


def table() -> str:
    """Return the table in Markdown."""
    return HEAD + "\n".join(str(row) for row in rows())


def _run(load: Load, policy: Policy) -> Figures:
    return Simulation(load, policy, GOAL).run()
