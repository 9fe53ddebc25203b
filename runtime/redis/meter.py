"""Where whoever measures a worker's way to Redis is told of its calls, its lease and its loop.

Nothing of it costs anything where nobody measures: a line without a meter doesn't look at the
clock.
"""

from typing import Protocol

from runtime.loop_watch import LoopWatch
from runtime.redis.lease import Lease


class Meter(Protocol):
    """What measures the way to the server; called on the event loop."""

    def answered(self, words: tuple[str | bytes | int, ...], seconds: float) -> None:
        """Hear that a command was answered.

        Args:
            words: the command; of several in one write, the first.
            seconds: from the moment in which it was its turn to its reply, connecting included.
        """

    def lost(self) -> None:
        """Hear that a call failed on its connection."""

    def joined(self, lease: Lease, loop: LoopWatch) -> None:
        """Learn what to read when somebody wants to know; both may be read from any thread."""
