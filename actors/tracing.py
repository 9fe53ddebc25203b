"""Where whoever traces a worker is told that a task is run, and how that ended.

The actors know no library of traces. A worker that nobody traces pays nothing for it: which way a
run goes is decided once, when its executor is made.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from messages import Delivery, Outcome


class RunSpan(Protocol):
    """The span of one run."""

    @property
    def traceparent(self) -> str | None:
        """Its context in W3C form, for the task's later attempts; None if it has none."""

    def ended(self, outcome: Outcome) -> None:
        """Hear what became of the run; right before the span ends."""


class Tracer(Protocol):
    """What traces a worker; called on the event loop, and never to wait or to raise."""

    def run(
        self, delivery: Delivery, began: datetime, worker_id: str
    ) -> AbstractContextManager[RunSpan]:
        """Return the span of a run; it is the current one, for whatever the handler calls, within.

        Args:
            delivery: the task.
            began: when the run began, UTC.
            worker_id: who runs it.
        """

    def named(self, delivery: Delivery) -> Mapping[str, str]:
        """Return what a line of the log says of a task's trace where its run isn't current.

        Called for the few lines that are written after a run, and for none that succeeds.
        """

    def here(self) -> Mapping[str, str]:
        """Return what a line of the log says of the run that is current."""
