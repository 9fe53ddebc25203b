"""Tells the server how tasks ended. A batch is whatever is there: nothing waits to fill one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from loguru import logger

from actors.answers import settlement
from actors.broker import BrokerError, RefusedError, Session, Settled, Settlement
from actors.ledger import Ledger
from actors.settings import MAX_BATCH, MAX_BATCH_BYTES
from actors.state import WorkerState
from actors.surroundings import Surroundings
from messages import Outcome, Rejected, Released, Succeeded

_REFUSED_PAUSE: Final = 0.5
"""Seconds to wait after the server has refused to settle."""


class Publisher:
    """The last actor of the chain: it ends when all executors have, and all is settled.

    Args:
        outcomes: what became of deliveries.
        session: the broker's side.
        state: what the worker is doing.
        ledger: what it holds.
        worker_id: who answers.
        surroundings: the time of the answers.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the actor talks to these and to nobody else
        self,
        outcomes: MemoryObjectReceiveStream[Outcome],
        session: Session,
        state: WorkerState,
        ledger: Ledger,
        worker_id: str,
        surroundings: Surroundings,
    ) -> None:
        self._outcomes = outcomes
        self._session = session
        self._state = state
        self._ledger = ledger
        self._worker_id = worker_id
        self._surroundings = surroundings
        self._released: list[Released] = []

    async def run(self) -> None:
        """Settle outcomes until there are no more, then give back what was released."""
        with self._outcomes:
            async for first in self._outcomes:
                await self._settle(self._batch(first))
        await self._release()

    def _batch(self, first: Outcome) -> list[Outcome]:
        batch = [first]
        size = len(first.delivery.raw)
        while len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES // 2:
            try:
                outcome = self._outcomes.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                break
            batch.append(outcome)
            size += len(outcome.delivery.raw)
            size += len(outcome.value) if isinstance(outcome, Succeeded) else 0
        return batch

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        now = self._surroundings.now()
        by_queue: defaultdict[str, list[tuple[Outcome, Settlement]]] = defaultdict(list)
        for outcome in outcomes:
            ending = settlement(outcome, self._worker_id, now)
            if ending is not None:
                by_queue[outcome.delivery.queue].append((outcome, ending))
            elif isinstance(outcome, Released):
                # Given back all at once at the end, so that their old order is known (I3).
                self._released.append(outcome)
        for queue, pending in by_queue.items():
            await self._settle_queue(queue, pending)

    async def _settle_queue(self, queue: str, pending: list[tuple[Outcome, Settlement]]) -> None:
        while pending:
            try:
                answers = await self._session.settle(queue, [ending for _, ending in pending])
            except RefusedError as error:
                logger.warning("The server refuses to settle tasks of {}: {}", queue, error)
                answers = [Settled.FAILED] * len(pending)
            left: list[tuple[Outcome, Settlement]] = []
            for one, answer in zip(pending, answers, strict=True):
                if answer is Settled.FAILED:
                    left.append(one)
                else:
                    self._account(one[0], answer)
            pending = left
            if pending:
                await anyio.sleep(_REFUSED_PAUSE)

    def _account(self, outcome: Outcome, answer: Settled) -> None:
        delivery = outcome.delivery
        self._ledger.discard(delivery.queue, delivery.raw)
        state = self._state
        if answer is Settled.STALE:
            state.stale += 1
            logger.warning("Dropping an answer: its task is no longer held by this worker")
            return
        state.processed += 1
        if not isinstance(outcome, Succeeded):
            state.failed += 1
        if isinstance(outcome, Rejected):
            state.rejected += 1
            logger.warning("Dead letter ({}): {}", outcome.reason.value, outcome.error)
        state.turned()

    async def _release(self) -> None:
        by_queue: defaultdict[str, list[bytes]] = defaultdict(list)
        for released in sorted(self._released, key=lambda one: one.delivery.number):
            by_queue[released.delivery.queue].append(released.delivery.raw)
        for queue, raws in by_queue.items():
            try:
                await self._session.release(queue, raws)
            except BrokerError as error:
                logger.warning("Giving back {} tasks of {} failed: {}", len(raws), queue, error)
                continue
            for raw in raws:
                self._ledger.discard(queue, raw)
            self._state.released += len(raws)
