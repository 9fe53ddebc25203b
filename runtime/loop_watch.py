"""Watches an event loop from another thread: is it turning, and if not, what holds it?"""

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen
from attrs.validators import gt
from loguru import logger

_TURN: Final = 0.25
"""Seconds between the turns that the loop notes; what is longer is lag."""

_REMEMBERED: Final = 240
"""Turns that the worst lag is looked for in: those of a minute."""

_SUSPENDED: Final = 5.0
"""Seconds between two looks that tell of a suspended process. A renewal may take 2 s of them."""

_FRAMES: Final = 12
"""Innermost frames of the blocking code that are logged."""


@frozen
class StallLimits:
    """When a loop that doesn't turn is worth a line, and when it is given up.

    Attributes:
        warning: seconds without a turn after which the blocking code is logged.
        limit: seconds without a turn after which the worker's lease is given up.
    """

    warning: float = field(default=1.0, validator=gt(0))
    limit: float = field(default=600.0, validator=gt(0))


class LoopWatch:
    """One event loop under watch.

    Args:
        limits: when to speak, and when to give up.
        running: the tasks that run now, as id of the event loop's task → task id.
    """

    interval: float = _TURN
    """Seconds between two calls of `look`, at most."""

    def __init__(self, limits: StallLimits, running: Callable[[], Mapping[int, str]]) -> None:
        self._limits = limits
        self._running = running
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._turned = self._looked = time.monotonic()
        self._said = False
        self._given_up = False
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)
        self.stalls = 0
        """How often the loop stood still for longer than the warning's time."""
        self._handle = self._loop.call_later(_TURN, self._turn)

    def __repr__(self) -> str:
        return f"LoopWatch(stalls={self.stalls}, stuck={self._given_up})"

    def lag(self) -> float:
        """Return by how much the loop was late at worst in the last minute, in seconds.

        What it is late by at this moment counts too. May be called from any thread.
        """
        return max([*self._lags, time.monotonic() - self._turned - _TURN, 0.0])

    def _turn(self) -> None:
        now = time.monotonic()
        self._lags.append(now - self._turned - _TURN)
        self._turned = now
        self._handle = self._loop.call_later(_TURN, self._turn)

    def close(self) -> None:
        """Stop watching; called on the loop."""
        self._handle.cancel()

    def look(self) -> bool:
        """Look at the loop, from another thread; say whether it counts as turning."""
        now = time.monotonic()
        if now - self._looked > _SUSPENDED:
            # This thread didn't run either: it was the process that stood still, not the loop.
            self._turned = now
        self._looked = now
        still = now - self._turned
        if still < self._limits.warning:
            if self._said:
                logger.warning("The event loop turns again")
            self._said = self._given_up = False
            return True
        if not self._said:
            self._said = True
            self.stalls += 1
            self._report(still)
        if still >= self._limits.limit and not self._given_up:
            self._given_up = True
            logger.error(
                "The event loop has stood still for {:.0f} s, the limit (--stall-limit): this "
                "worker's lease is given up and others run its tasks",
                still,
            )
        return not self._given_up

    def _report(self, still: float) -> None:
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - there is no public way to see another thread's stack
        stack = traceback.extract_stack(frame)[-_FRAMES:] if frame else []
        place = next((f for f in reversed(stack) if not _is_ours(f.filename)), None)
        where = f"{place.filename}:{place.lineno} in {place.name}" if place else "unknown code"
        current = asyncio.current_task(self._loop)
        task_id = self._running().get(id(current), "unknown")
        logger.warning(
            "The event loop has stood still for {:.1f} s in task {}: {}\n{}",
            still,
            task_id,
            where,
            "".join(traceback.format_list(stack)).rstrip(),
        )


def _is_ours(filename: str) -> bool:
    """Whether a frame belongs to the interpreter's or the loop's own machinery."""
    return "/asyncio/" in filename or "/anyio/" in filename
