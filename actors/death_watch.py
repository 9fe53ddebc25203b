"""Who is dead: decided from looks and times alone.

A lease is a pulse, not a deadline: no two clocks are compared. A holder whose pulse hasn't
changed for `lapse` seconds of the watcher's own clock, in consecutive looks that were each
answered promptly, is dead. A gap in the looks, a slow answer, a broken connection or a failure of
the watcher's own renewal starts all evidence anew (I5): whatever kept us from looking may have
kept the others from renewing.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import field, frozen
from attrs.validators import gt

from actors.broker import Look


@frozen
class Timing:
    """The watcher's figures, in seconds.

    Attributes:
        lapse: how long a pulse must stand still. A live worker renews every second, so four
            missed renewals tell the dead from the slow; with a look before and one after it
            stays below I4's 5 s.
        interval: between looks.
        prompt: how soon a look must be answered to count.
        gap: how far apart two looks may be to be consecutive.
        oblivion: how long a holder without lease and tasks is remembered; longer than any
            blocking wait that may still take a task for it.
    """

    lapse: float = field(default=4.0, validator=gt(0))
    interval: float = field(default=0.3, validator=gt(0))
    prompt: float = field(default=0.75, validator=gt(0))
    gap: float = field(default=1.5, validator=gt(0))
    oblivion: float = field(default=60.0, validator=gt(0))


class Verdict(Enum):
    """What is to be done about a holder."""

    RECLAIM = "reclaim"
    FORGET = "forget"


class _Unleased(Enum):
    """Stands for the pulse of a holder that has none."""

    WITH_TASKS = "with tasks"
    EMPTY = "empty"


@frozen
class Dead:
    """A holder whose time is over.

    Attributes:
        holder: who.
        pulse: the pulse at which it stood still; None if it owned no lease.
        slots: how many tasks it may have been running.
        verdict: what is to be done.
    """

    holder: str
    pulse: str | None
    slots: int
    verdict: Verdict


_LOOKS_PER_INTERVAL: Final = 100
"""Holders up to which the base interval is kept: reading 100 leases costs a server about 9 µs."""

_SLOWEST: Final = 4
"""By how much the interval grows at most; a large fleet has many watchers."""


def interval_for(timing: Timing, holders: int) -> float:
    """Return the seconds between looks, so that the looks of a large fleet stay cheap."""
    growth = min(max(1.0, holders / _LOOKS_PER_INTERVAL), float(_SLOWEST))
    return timing.interval * growth


class DeathWatch:
    """The evidence of one watcher about one queue."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._still: dict[str, tuple[str | _Unleased, float]] = {}
        self._last: float | None = None

    def __repr__(self) -> str:
        return f"DeathWatch({len(self._still)} holders)"

    def disturb(self) -> None:
        """Start all evidence anew."""
        self._still.clear()
        self._last = None

    def doubt(self, holder: str) -> None:
        """Start the evidence about one holder anew."""
        self._still.pop(holder, None)

    def look(self, asked: float, answered: float, seen: Look) -> list[Dead]:
        """Take in a look and return who is dead by now.

        Args:
            asked: when the look was sent, in seconds of the watcher's clock.
            answered: when its answer came.
            seen: what it showed.
        """
        pulses = _pulses(seen)
        gap = self._timing.gap * max(1.0, interval_for(self._timing, len(pulses)))
        if answered - asked > self._timing.prompt:
            self.disturb()
            return []
        if self._last is not None and answered - self._last > gap:
            self.disturb()
        self._last = answered
        self._still = {
            holder: self._standing(holder, pulse, answered) for holder, pulse in pulses.items()
        }
        return [
            self._dead(holder, pulse, seen.slots)
            for holder, (pulse, since) in self._still.items()
            # The pulse was last seen to change at or after `since`; the look that shows it still
            # was asked now, so the time between is a lower bound of how long it has stood.
            if asked - since >= self._patience(pulse)
        ]

    def _standing(
        self, holder: str, pulse: str | _Unleased, now: float
    ) -> tuple[str | _Unleased, float]:
        before = self._still.get(holder)
        return before if before is not None and before[0] == pulse else (pulse, now)

    def _patience(self, pulse: str | _Unleased) -> float:
        return self._timing.oblivion if pulse is _Unleased.EMPTY else self._timing.lapse

    @staticmethod
    def _dead(holder: str, pulse: str | _Unleased, slots: Mapping[str, int]) -> Dead:
        if isinstance(pulse, str):
            return Dead(holder, pulse, slots.get(holder, 0), Verdict.RECLAIM)
        forget = pulse is _Unleased.EMPTY
        return Dead(holder, None, 0, Verdict.FORGET if forget else Verdict.RECLAIM)


def _pulses(seen: Look) -> dict[str, str | _Unleased]:
    unleased = {
        holder: _Unleased.WITH_TASKS if owns_tasks else _Unleased.EMPTY
        for holder, owns_tasks in seen.unleased.items()
    }
    return {**seen.leases, **unleased}
