"""The renewal of a worker's leases, on a thread and a connection of its own.

Neither a handler that blocks the event loop nor a long script on the worker's other connections
keeps a pulse from being sent (I5). The thread also watches the loop: see `runtime.loop_watch`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Final

import redis
from attrs import frozen
from loguru import logger
from redis.exceptions import NoScriptError, RedisError

from actors import Timing
from runtime.loop_watch import LoopWatch
from runtime.redis import keys
from runtime.redis.failures import describe
from runtime.redis.scripts import script

_RECONNECT: Final = 0.5
"""Seconds after which a failed renewal is tried again (I5)."""


_REMEMBERED: Final = 60
"""Renewals that the lease's margin looks back on, one a second."""

LAPSE: Final = Timing().lapse
"""Seconds after which other workers declare a holder dead whose pulse stands still."""


def boot_clock() -> float:
    """Return seconds of a clock that also counts while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@frozen
class LeaseTiming:
    """Figures of the renewal, in seconds.

    Attributes:
        interval: between renewals.
        fresh: how old the last confirmed renewal may be for tasks to be taken and begun. Others
            declare a holder dead after 4 s; the second between is for what is under way.
        timeout: of one renewal.
    """

    interval: float = 1.0
    fresh: float = 3.0
    timeout: float = 2.0


class Lease:
    """What the thread knows and the event loop reads."""

    def __init__(self, timing: LeaseTiming) -> None:
        self._timing = timing
        self._confirmed = float("-inf")
        self._gaps: deque[float] = deque(maxlen=_REMEMBERED)
        self.lapses = 0
        """How often the lease was found to have stopped, or may have."""
        self.failures = 0
        """How often a renewal failed."""

    def __repr__(self) -> str:
        return f"Lease(fresh={self.fresh()}, lapses={self.lapses})"

    def confirm(self, asked: float, *, known: bool) -> bool:
        """Note a renewal that the server has confirmed; it counts from when it was asked.

        Returns whether the lease may have stopped before. The server doesn't always know: a
        renewal that a frozen link held back, and delivered late, has begun the lease anew.
        """
        # The first renewal of all has none before it.
        stopped = not known or self._timing.fresh <= asked - self._confirmed < inf
        self.lapses += stopped
        if self._confirmed > -inf:
            # From when the pulse before was asked for to when this one was surely there: what
            # others have seen stand still is no longer.
            self._gaps.append(boot_clock() - self._confirmed)
        self._confirmed = asked
        return stopped

    def margin(self) -> float:
        """Return how close the lease came to its lapse in the last minute or so, in seconds.

        Below 0 others may have taken this worker's tasks. May be called from any thread.
        """
        return LAPSE - max([*self._gaps, boot_clock() - self._confirmed])

    def fresh(self) -> bool:
        """Say whether the last confirmed renewal is young enough to rely on."""
        return boot_clock() - self._confirmed < self._timing.fresh


class LeaseThread(threading.Thread):
    """Renews the leases of one holder on all its queues.

    Args:
        client: a blocking client that nobody else uses.
        queues: the queues.
        holder: the holder.
        slots: how many tasks it can run at once.
        lease: where to note what the server confirms.
        timing: the figures.
        loop_watch: told at each turn to look at the event loop.
        lapsed: called from this thread when the lease may have stopped.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the thread talks to these and to nobody else
        self,
        client: redis.Redis,
        queues: tuple[str, ...],
        holder: str,
        slots: int,
        lease: Lease,
        timing: LeaseTiming,
        loop_watch: LoopWatch,
        lapsed: Callable[[], None],
    ) -> None:
        super().__init__(name=f"lease of {holder}", daemon=True)
        self._client = client
        self._queues = queues
        self._holder = holder
        self._slots = slots
        self._lease = lease
        self._timing = timing
        self._loop_watch = loop_watch
        self._lapsed = lapsed
        self._ending = threading.Event()
        self._pulse = 0
        self._failing = False

    def run(self) -> None:
        """Renew until ended."""
        due = time.monotonic()
        while not self._ending.is_set():
            if not self._loop_watch.look():
                # A wedged worker must not keep its tasks for ever: let the lease lapse.
                self._ending.wait(_RECONNECT)
                continue
            now = time.monotonic()
            if now >= due:
                due = now + (self._timing.interval if self._renew() else _RECONNECT)
            self._ending.wait(max(0.0, min(due - time.monotonic(), self._loop_watch.interval)))
        self._client.close()

    def end(self, timeout: float) -> bool:
        """End the thread, and wait; return whether it ended in time."""
        self._ending.set()
        self.join(timeout)
        return not self.is_alive()

    def begin(self) -> None:
        """Take out the leases, before the thread is started.

        Raises:
            RedisError: the server didn't confirm.
        """
        asked = boot_clock()
        self._renew_all()
        self._lease.confirm(asked, known=True)

    def _renew(self) -> bool:
        asked = boot_clock()
        try:
            known = self._renew_all()
        except (RedisError, OSError) as error:
            if not self._failing:
                logger.warning("Renewing the lease failed: {}", describe(error))
            self._failing = True
            self._lease.failures += 1
            self._client.connection_pool.disconnect()
            return False
        if self._failing:
            logger.info("The lease is renewed again")
        self._failing = False
        if self._lease.confirm(asked, known=known):
            self._lapsed()
        return True

    def _renew_all(self) -> bool:
        self._pulse += 1
        known = [self._renew_one(queue) for queue in self._queues]
        return all(known)

    def _renew_one(self, queue: str) -> bool:
        code = script("renew")
        words: tuple[Any, ...] = (
            2,
            keys.leases(queue),
            keys.holders(queue),
            self._holder,
            f"{self._pulse} {self._slots}",
        )
        try:
            return bool(self._client.evalsha(code.digest, *words))
        except NoScriptError:
            return bool(self._client.eval(code.source, *words))
