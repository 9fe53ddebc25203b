"""Keeps a worker's records until they are sent, and bounds how many."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import anyio

from actors import Settled
from messages import DeadLetter, Delivery, Outcome
from runtime.events.records import Record, Writer

KEPT: Final = 10_000
"""Records that wait at most; each has a few hundred bytes."""


class Outbox:
    """The `Listener` of a worker whose events are told.

    Args:
        writer: writes the records.
        now: the time of day, UTC.
        kept: how many records wait at most; older ones make room for newer ones.
    """

    def __init__(self, writer: Writer, now: Callable[[], datetime], kept: int = KEPT) -> None:
        self._writer = writer
        self._now = now
        self._records: deque[Record] = deque(maxlen=kept)
        self._filled = anyio.Event()
        self.displaced = 0
        """How many records have made room for newer ones."""

    def __repr__(self) -> str:
        return f"Outbox(waiting={len(self._records)}, displaced={self.displaced})"

    def __len__(self) -> int:
        return len(self._records)

    def joined(self, queues: Sequence[str], slots: int) -> None:
        """Note that the worker takes tasks."""
        self._put(self._writer.started(self._now(), queues, slots))

    def began(self, delivery: Delivery, at: datetime) -> None:
        """Note that a handler begins."""
        self._put(self._writer.began(at, delivery))

    def settled(self, queue: str, endings: Sequence[tuple[Outcome, Settled]]) -> None:  # noqa: ARG002 - each outcome knows its queue
        """Note how a batch of tasks ended."""
        at = self._now()
        for outcome, answer in endings:
            for record in self._writer.ended(at, outcome, answer):
                self._put(record)

    def buried(self, queue: str, letters: Sequence[DeadLetter]) -> None:
        """Note which tasks of a dead worker were put away."""
        at = self._now()
        for letter in letters:
            for record in self._writer.buried(at, queue, letter):
                self._put(record)

    def dropped(self, queue: str, letters: Sequence[DeadLetter]) -> None:
        """Note which tasks of a dead worker were dropped, for they had been cancelled."""
        at = self._now()
        for letter in letters:
            self._put(self._writer.dropped(at, queue, letter))

    def left(self, answered: int, failed: int, unsettled: int) -> None:
        """Note that the worker has drained."""
        self._put(self._writer.drained(self._now(), answered, failed, unsettled))

    def take(self, most: int) -> list[Record]:
        """Remove the oldest records, `most` of them at most, and return them."""
        return [self._records.popleft() for _ in range(min(most, len(self._records)))]

    async def wait(self) -> None:
        """Wait until there is a record; cancelled, it leaves all as it was."""
        while not self._records:
            self._filled = anyio.Event()
            await self._filled.wait()

    def _put(self, record: Record) -> None:
        self.displaced += len(self._records) == self._records.maxlen
        self._records.append(record)
        self._filled.set()
