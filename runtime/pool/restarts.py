"""When a worker that ended unasked is replaced: a plain class."""

from typing import Final

_SETTLED: Final = 10.0
"""Seconds after which a worker that takes tasks counts as one that works."""

_BASE: Final = 0.25
"""Seconds of the first pause; each further one is twice as long."""

_CAP: Final = 30.0
"""Seconds of the longest pause of all."""


class Restarts:
    """Pauses before starts, which grow while workers end soon after they were started.

    They are the pool's, not a single worker's: all of its workers are alike.
    """

    def __init__(self) -> None:
        self._soon = 0
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"Restarts({self._soon} ended soon)"

    def ended(self, served: float, now: float) -> float:
        """Note that a worker has ended unasked, and return the pause in seconds.

        Args:
            served: seconds for which it took tasks.
            now: seconds of any clock that only goes forward.
        """
        if served >= _SETTLED:
            self._soon = 0
        pause = min(_CAP, _BASE * float(2 ** min(self._soon, 30)))
        self._soon += 1
        self._not_before = max(self._not_before, now + pause)
        return pause

    def allowed(self, now: float) -> bool:
        """Say whether a worker may be started now."""
        return now >= self._not_before
