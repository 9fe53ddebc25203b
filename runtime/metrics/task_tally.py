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

_SHORTEST: Final = DURATIONS[0]

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

    def settled(
        self,
        queue: str,
        succeeded: Sequence[Succeeded],
        others: Sequence[tuple[Outcome, Settled]],
    ) -> None:
        """Count a batch."""
        self.batches.note(len(succeeded) + len(others))
        types = self._queues.setdefault(queue, {})
        self._note_succeeded(types, succeeded)
        for outcome, answer in others:
            if answer is not Settled.FAILED:
                self._note_other(queue, types, outcome, answer)

    def _note_succeeded(self, types: dict[str, TypeTally], outcomes: Sequence[Succeeded]) -> None:
        """Count what is nearly all; each tenth of a microsecond counts, so no call a task."""
        name, tally = "", TypeTally()
        runs, waits = tally.runs, tally.waits
        for outcome in outcomes:
            run, task = outcome.run, outcome.delivery.task
            if task.type != name:
                name = task.type
                tally = types.get(name) or self._tally(types, name)
                runs, waits = tally.runs, tally.waits
            tally.outcomes["succeeded"] += 1
            seconds = run.duration
            runs.counts[bisect_left(DURATIONS, seconds) if seconds > _SHORTEST else 0] += 1
            runs.total += seconds
            if task.attempt == 1 and not task.deaths:
                seconds = run.waited if task.not_before is None else _waited(task, run)
                waits.counts[bisect_left(DURATIONS, seconds)] += 1
                if seconds > 0:
                    waits.total += seconds

    def _tally(self, types: dict[str, TypeTally], task_type: str | None) -> TypeTally:
        name = UNKNOWN if task_type is None or task_type not in self._known else task_type
        found = types.get(name)
        if found is None:
            found = types[name] = TypeTally()
        return found

    def _note_other(
        self, queue: str, types: dict[str, TypeTally], outcome: Outcome, answer: Settled
    ) -> None:
        delivery = outcome.delivery
        task = delivery.task if isinstance(delivery, Delivery) else None
        tally = self._tally(types, None if task is None else task.type)
        word = _NAMES[type(outcome)] if answer is Settled.DONE else answer.value
        tally.outcomes[word] = tally.outcomes.get(word, 0) + 1
        if isinstance(outcome, Cancelled | Postponed | Released):
            return
        if outcome.run is not None and task is not None:
            tally.runs.note(outcome.run.duration)
            # A later run has waited for a backoff, or for a worker that was lost.
            if task.attempt == 1 and not task.deaths:
                tally.waits.note(_waited(task, outcome.run))
        if answer is Settled.DONE and isinstance(outcome, Failed | Rejected):
            self._note_dead(queue, outcome)

    def _note_dead(self, queue: str, outcome: Failed | Rejected) -> None:
        reason = outcome.reason if isinstance(outcome, Rejected) else Reason.ATTEMPTS_EXHAUSTED
        self.dead[queue, reason] = self.dead.get((queue, reason), 0) + 1


def _waited(task: Task, run: Run) -> float:
    """Return for how long a first run's task has waited since it was due."""
    since = task.created_at
    seconds = run.waited
    if task.not_before is not None and task.not_before > since:
        seconds -= (task.not_before - since).total_seconds()
    # Two machines' clocks may disagree about it.
    return seconds if seconds > 0 else 0.0
