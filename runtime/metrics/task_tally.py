"""Counts how a worker's tasks ended: the part of the metrics that lies on the hot path."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from actors import Settled
from messages import (
    Cancelled,
    Delivery,
    Failed,
    Outcome,
    Postponed,
    Reason,
    Rejected,
    Released,
    Retried,
    Run,
    Succeeded,
    Task,
)
from runtime.metrics.catalogue import UNKNOWN
from runtime.metrics.tallies import SIZES, Histogram, TypeTally

_NAMES: Final[Mapping[type[Outcome], str]] = {
    Succeeded: "succeeded",
    Failed: "failed",
    Retried: "retried",
    Postponed: "postponed",
    Rejected: "rejected",
    Cancelled: "cancelled",
    Released: "released",
}


class Registered(Protocol):
    """What is needed of a handler."""

    @property
    def queue(self) -> str | None:
        """The queue that it serves, if it names one."""


class TaskTally:
    """See `actors.Instruments`."""

    def __init__(self) -> None:
        self.types: dict[tuple[str, str], TypeTally] = {}
        self.dead: dict[tuple[str, Reason], int] = {}
        self.batches = Histogram(SIZES)
        self._known: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"TaskTally({len(self.types)} types)"

    def declare(self, queues: Iterable[str], handlers: Mapping[str, Registered]) -> None:
        """Say what there is to count; other types are counted as unknown.

        Args:
            queues: those that are served.
            handlers: by task type.
        """
        self._known = frozenset(handlers)
        for queue in queues:
            for name, handler in handlers.items():
                if handler.queue in {queue, None}:
                    self.types[queue, name] = TypeTally()
            self.dead[queue, Reason.ATTEMPTS_EXHAUSTED] = 0

    def settled(self, queue: str, endings: Sequence[tuple[Outcome, Settled]]) -> None:
        """Count a batch."""
        self.batches.note(len(endings))
        types, known = self.types, self._known
        for outcome, answer in endings:
            if answer is Settled.FAILED:
                continue
            delivery = outcome.delivery
            task = delivery.task if isinstance(delivery, Delivery) else None
            name = task.type if task is not None and task.type in known else UNKNOWN
            tally = types.get((queue, name))
            if tally is None:
                tally = types[queue, name] = TypeTally()
            word = _NAMES[type(outcome)] if answer is Settled.DONE else answer.value
            tally.outcomes[word] = tally.outcomes.get(word, 0) + 1
            if isinstance(outcome, Cancelled | Postponed | Released):
                continue
            if outcome.run is not None and task is not None:
                _note_run(tally, task, outcome.run)
            if answer is Settled.DONE and isinstance(outcome, Failed | Rejected):
                self._note_dead(queue, outcome)

    def _note_dead(self, queue: str, outcome: Failed | Rejected) -> None:
        reason = outcome.reason if isinstance(outcome, Rejected) else Reason.ATTEMPTS_EXHAUSTED
        self.dead[queue, reason] = self.dead.get((queue, reason), 0) + 1


def _note_run(tally: TypeTally, task: Task, run: Run) -> None:
    tally.runs.note(run.duration)
    # A later run has waited for its backoff, and one after a death for a worker that was lost.
    if task.attempt == 1 and not task.deaths:
        tally.waits.note(_waited(task, run.started_at))


def _waited(task: Task, started_at: datetime) -> float:
    """Return for how long a task waited; two machines' clocks may disagree about it."""
    since = task.created_at if task.not_before is None else max(task.created_at, task.not_before)
    return max(0.0, (started_at - since).total_seconds())
