"""How much to fetch: enough that no executor waits for the server, so little that none hoards.

By Little's law, the deliveries that the executors will begin within a time are that time
multiplied by the rate at which they begin them. The rate is the smaller of two: what was shown in
the last fetches, and what the slots can do if each task takes as long as the last ones did, or
as long as those that run now have taken already. So fast tasks are fetched ahead in batches, and
a worker whose slots are filled with slow ones fetches nothing.
"""

from collections.abc import Iterable
from typing import Final

from actors.settings import MAX_BATCH

_SMOOTHING: Final = 0.5
"""Weight of the newest figures: a change of load shows within a few fetches."""


class FetchPolicy:
    """Decides how many deliveries to take; knows no clock and no server.

    Args:
        slots: how many handlers run at once.
        horizon: seconds of work to fetch ahead.
    """

    def __init__(self, slots: int, horizon: float) -> None:
        self._slots = slots
        self._horizon = horizon
        self._rate = 0.0
        self._service = 0.0
        self._since: float | None = None
        self._begun = 0
        self._ended = 0
        self._busy = 0.0

    def __repr__(self) -> str:
        return f"FetchPolicy({self._rate:.0f} tasks/s shown, {self._service * 1000:.2f} ms each)"

    def observe(self, now: float, begun: int, ended: int, busy: float) -> None:
        """Take in the worker's counters.

        Args:
            now: seconds, any clock that doesn't go back.
            begun: tasks begun since the start.
            ended: tasks ended since the start.
            busy: seconds that the ended tasks took in all.
        """
        if self._since is not None and now > self._since and begun > self._begun:
            rate = (begun - self._begun) / (now - self._since)
            self._rate += _SMOOTHING * (rate - self._rate)
        if ended > self._ended:
            service = (busy - self._busy) / (ended - self._ended)
            self._service += _SMOOTHING * (service - self._service)
        if self._since is None or begun > self._begun:
            self._since = now
        self._begun, self._ended, self._busy = begun, ended, busy

    def rest(self) -> None:
        """Leave the time up to the next `observe` out: there was nothing to do."""
        self._since = None

    def ahead(self, ages: Iterable[float]) -> int:
        """Return how many deliveries to hold beyond those that run.

        Args:
            ages: for how many seconds each running task has run.
        """
        if not self._ended:
            # Nothing is known of these tasks; they may take hours.
            return 0
        now_running = list(ages)
        service = max(self._service, sum(now_running) / len(now_running) if now_running else 0.0)
        rate = min(self._rate, self._slots / service) if service > 0 else self._rate
        return min(int(rate * self._horizon), MAX_BATCH)

    def room(self, buffered: int, ages: Iterable[float]) -> int:
        """Return how many deliveries to take now.

        With a slot free, as many as fill the slots and the buffer; else nothing until half of
        the buffer is used, so that few calls move many tasks.
        """
        ages = list(ages)
        free = self._slots - len(ages) - buffered
        ahead = self.ahead(ages)
        if free <= 0 and buffered * 2 > ahead:
            return 0
        return max(0, min(self._slots - len(ages) + ahead - buffered, MAX_BATCH))
