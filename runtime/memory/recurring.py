"""How far a queue's recurring tasks have been fired: what `recurring.lua` and `fire.lua` keep."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from actors import Recurring

KEPT: Final = 30 * 86_400_000
"""Milliseconds for which a recurring task is kept that no worker declares."""


@frozen
class Fired:
    """What is remembered of a recurring task.

    Attributes:
        upto: the time up to which it was fired, in ms since the epoch.
        asked: when it was last asked for, likewise.
    """

    upto: int
    asked: int


class RecurringTasks(dict[str, Fired]):
    """Name → how far it was fired; the time is passed in, in ms since the epoch."""

    def look(self, names: Sequence[str], time: int) -> Recurring:
        """Tell how far tasks have been fired; drop those that nobody has asked for in a while."""
        for name, fired in list(self.items()):
            if name in names:
                self[name] = Fired(fired.upto, time)
            elif time - fired.asked > KEPT:
                del self[name]
        return Recurring(time, {name: self.upto(name) for name in names})

    def note(self, name: str, fired: int | None, upto: int, time: int) -> bool:
        """Note that a task is fired up to `upto`, if it was up to `fired`; return whether."""
        if self.upto(name) != fired:
            return False
        self[name] = Fired(upto, time)
        return True

    def upto(self, name: str) -> int | None:
        """Return up to when a task was fired, or None if it is seen for the first time."""
        known = self.get(name)
        return None if known is None else known.upto
