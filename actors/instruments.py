"""Where whoever measures a worker is told how its tasks ended.

The actors know no library of metrics. What is told comes by the batch, so that a worker that
nobody measures pays for one question a batch, and nothing a task.
"""

from collections.abc import Sequence
from typing import Protocol

from actors.broker import Settled
from messages import Outcome, Succeeded


class Instruments(Protocol):
    """What measures a worker; called on the event loop, and never to wait or to raise."""

    def settled(
        self,
        queue: str,
        succeeded: Sequence[Succeeded],
        others: Sequence[tuple[Outcome, Settled]],
    ) -> None:
        """Hear how a batch of tasks ended, right after the server has answered.

        Args:
            queue: where they came from.
            succeeded: the tasks that did, and that the server has settled: nearly all.
            others: each other task's outcome, and what the server said to it. What it refused
                (`Settled.FAILED`) comes again in a later batch.
        """
