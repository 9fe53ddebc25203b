"""Counts and histograms that are written by one thread and read by another.

prometheus-client's own take a lock and several microseconds each, more than a quick task may
cost. Here the event loop alone writes, and reading copies a list, which nothing interrupts: a
scrape may see a task in one figure that isn't in another yet, and never a torn one.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from typing import Final

DURATIONS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0),
)
"""Upper bounds in seconds, for what may be a moment or an hour."""

LATENCIES: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 4.0)
"""Upper bounds in seconds, for a server that is near."""

SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Upper bounds of a batch."""


class Histogram:
    """How often which values came.

    Args:
        bounds: upper bounds of the buckets, rising; one without a bound follows.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"Histogram({sum(self.counts)} values)"

    def note(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> tuple[Sequence[tuple[str, float]], float]:
        """Return, as Prometheus wants them, each bound with how many values it covers; the sum."""
        counts = self.counts.copy()
        reached = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*self.bounds, inf), counts, strict=True):
            reached += count
            buckets.append(("+Inf" if bound == inf else repr(bound), reached))
        return buckets, self.total


class TypeTally:
    """The runs of one type of task from one queue."""

    __slots__ = ("outcomes", "runs", "waits")

    def __init__(self) -> None:
        # Those that tell a rate of failures are there from the start: a count that begins with 1
        # shows no increase.
        self.outcomes = {"succeeded": 0, "failed": 0, "retried": 0, "rejected": 0}
        self.runs = Histogram(DURATIONS)
        self.waits = Histogram(DURATIONS)

    def __repr__(self) -> str:
        return f"TypeTally({self.outcomes})"
