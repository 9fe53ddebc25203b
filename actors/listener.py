"""Where whoever follows a worker hears what becomes of it and of its tasks.

The actors know nothing of who listens, or where it is told on. A worker that nobody follows pays
for one question a task and one a batch.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from actors.broker import Settled
from messages import DeadLetter, Delivery, Outcome


class Listener(Protocol):
    """Who follows a worker; called on the event loop, and never to wait or to raise."""

    def joined(self, queues: Sequence[str], slots: int) -> None:
        """Hear that the worker takes tasks.

        Args:
            queues: what it serves.
            slots: how many handlers it can run at once.
        """

    def began(self, delivery: Delivery, at: datetime) -> None:
        """Hear that a handler begins.

        Args:
            delivery: what it works on.
            at: when, UTC.
        """

    def settled(self, queue: str, endings: Sequence[tuple[Outcome, Settled]]) -> None:
        """Hear how a batch of tasks ended, right after the server has answered.

        Args:
            queue: where they came from.
            endings: each task's outcome, and what the server said to it. What it refused
                (`Settled.FAILED`) comes again in a later batch.
        """

    def buried(self, queue: str, letters: Sequence[DeadLetter]) -> None:
        """Hear that tasks of a dead worker became dead letters instead of going back.

        Args:
            queue: where they came from.
            letters: what was put away.
        """

    def dropped(self, queue: str, letters: Sequence[DeadLetter]) -> None:
        """Hear that tasks of a dead worker were dropped: they had been cancelled, and so answered.

        Args:
            queue: where they came from.
            letters: what they would have become.
        """

    def left(self, answered: int, failed: int, unsettled: int) -> None:
        """Hear that the worker has drained; one that crashes says nothing.

        Args:
            answered: tasks that it has answered, failures included.
            failed: those of them that failed.
            unsettled: tasks whose end the server hasn't confirmed; they run again elsewhere.
        """
