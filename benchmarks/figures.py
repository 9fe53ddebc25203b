"""What was measured, and what is required of it."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from attrs import frozen


@frozen
class Bound:
    """What a figure must keep.

    Attributes:
        at_least: no less than this, if not None.
        at_most: no more than this, if not None.
    """

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Say whether a value is within it."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


@frozen
class Figure:
    """One line of the table.

    Attributes:
        name: for programs.
        title: for people.
        unit: of the values; empty for a ratio.
        values: one of each repetition.
        bound: what the median must keep; None for what is only told.
    """

    name: str
    title: str
    unit: str
    values: Sequence[float]
    bound: Bound | None = None

    @property
    def median(self) -> float:
        """The middle of the values: a noisy neighbour spoils single ones."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None if there is none."""
        return None if self.bound is None else self.bound.holds(self.median)

    def plain(self) -> dict[str, Any]:
        """Return the figure as JSON takes it."""
        bound = self.bound or Bound()
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "min": min(self.values),
            "median": self.median,
            "max": max(self.values),
            "runs": len(self.values),
            "at_least": bound.at_least,
            "at_most": bound.at_most,
            "met": self.met,
        }


def ratios(over: list[float], under: list[float]) -> tuple[float, ...]:
    """Divide values that were measured side by side."""
    return tuple(one / other for one, other in zip(over, under, strict=True))
