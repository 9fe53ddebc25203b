"""Counts how a worker's tasks ended: the part of the metrics that lies on the hot path."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
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
from runtime.metrics.tallies import DURATIONS, SIZES, Histogram, TypeTally

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
        self._queues: dict[str, dict[str, TypeTally]] = {}
        self._known: frozenset[str] = frozenset()
        self.dead: dict[tuple[str, Reason], int] = {}
        self.batches = Histogram(SIZES)

    def __repr__(self) -> str:
        return f"TaskTally({len(self.types())} types)"

    def types(self) -> dict[tuple[str, str], TypeTally]:
        """Return what was counted, by queue and type; may be called from any thread."""
        queues = list(self._queues.items())
        return {(queue, name): found for queue, of in queues for name, found in list(of.items())}

    def declare(self, queues: Iterable[str], handlers: Mapping[str, Registered]) -> None:
        """Say what there is to count; other types are counted as unknown.

        Args:
            queues: those that are served.
            handlers: by task type.
        """
        self._known = frozenset(handlers)
        for queue in queues:
            names = [name for name, one in handlers.items() if one.queue in {queue, None}]
            self._queues[queue] = {name: TypeTally() for name in names}
            self.dead[queue, Reason.ATTEMPTS_EXHAUSTED] = 0

    def settled(self, queue: str, endings: Sequence[tuple[Outcome, Settled]]) -> None:
        """Count a batch."""
        self.batches.note(len(endings))
        types = self._queues.setdefault(queue, {})
        for outcome, answer in endings:
            # Most are these, and each tenth of a microsecond counts.
            if type(outcome) is Succeeded and answer is Settled.DONE:
                task = outcome.delivery.task
                tally = types.get(task.type) or self._tally(types, task)
                tally.outcomes["succeeded"] += 1
                _note_run(tally, task, outcome.run)
            elif answer is not Settled.FAILED:
                self._note_other(queue, types, outcome, answer)

    def _tally(self, types: dict[str, TypeTally], task: Task | None) -> TypeTally:
        name = task.type if task is not None and task.type in self._known else UNKNOWN
        found = types.get(name)
        if found is None:
            found = types[name] = TypeTally()
        return found

    def _note_other(
        self, queue: str, types: dict[str, TypeTally], outcome: Outcome, answer: Settled
    ) -> None:
        delivery = outcome.delivery
        task = delivery.task if isinstance(delivery, Delivery) else None
        tally = self._tally(types, task)
        word = _NAMES[type(outcome)] if answer is Settled.DONE else answer.value
        tally.outcomes[word] = tally.outcomes.get(word, 0) + 1
        if isinstance(outcome, Cancelled | Postponed | Released):
            return
        if outcome.run is not None and task is not None:
            _note_run(tally, task, outcome.run)
        if answer is Settled.DONE and isinstance(outcome, Failed | Rejected):
            self._note_dead(queue, outcome)

    def _note_dead(self, queue: str, outcome: Failed | Rejected) -> None:
        reason = outcome.reason if isinstance(outcome, Rejected) else Reason.ATTEMPTS_EXHAUSTED
        self.dead[queue, reason] = self.dead.get((queue, reason), 0) + 1


def _note_run(tally: TypeTally, task: Task, run: Run) -> None:
    runs, seconds = tally.runs, run.duration
    runs.counts[bisect_left(DURATIONS, seconds)] += 1
    runs.total += seconds
    # A later run has waited for its backoff, and one after a death for a worker that was lost.
    if task.attempt == 1 and not task.deaths:
        since = task.created_at
        if task.not_before is not None and task.not_before > since:
            since = task.not_before
        # Two machines' clocks may disagree about it.
        seconds = max(0.0, (run.started_at - since).total_seconds())
        waits = tally.waits
        waits.counts[bisect_left(DURATIONS, seconds)] += 1
        waits.total += seconds
