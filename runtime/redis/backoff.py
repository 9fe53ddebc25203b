"""How long to wait before the next attempt to reach the server."""

from collections.abc import Callable


class ReconnectBackoff:
    """Exponential pauses with full jitter, so that a fleet doesn't return in one instant.

    Args:
        draw: returns a random number from 0 up to 1.
        base: the longest first pause, in seconds; each further one may be twice as long.
        cap: the longest pause of all, in seconds.
    """

    def __init__(self, draw: Callable[[], float], *, base: float = 0.05, cap: float = 2.0) -> None:
        self._draw = draw
        self._base = base
        self._cap = cap
        self._failures = 0

    def __repr__(self) -> str:
        return f"ReconnectBackoff(failures={self._failures})"

    @property
    def failures(self) -> int:
        """How many pauses were drawn since the last success."""
        return self._failures

    @property
    def worth_saying(self) -> bool:
        """Whether to log the failure at hand: the first, second, fourth, eighth and so on."""
        return self._failures & (self._failures - 1) == 0

    def next(self) -> float:
        """Count a failure and return the pause before the next attempt, in seconds."""
        # Beyond 2**30 the cap rules anyway; a server may be away for weeks.
        bound = min(self._cap, self._base * float(2 ** min(self._failures, 30)))
        self._failures += 1
        return self._draw() * bound

    def reset(self) -> None:
        """Begin anew: the server has answered."""
        self._failures = 0
