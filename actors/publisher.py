"""Tells the server how tasks ended. A batch is whatever is there: nothing waits to fill one."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from loguru import logger

from actors.answers import released_body, settlement
from actors.broker import RefusedError, Session, Settled, Settlement, UnreachableError
from actors.ledger import Ledger
from actors.refusals import Refusals
from actors.repeats import Repeats
from actors.settings import MAX_BATCH, MAX_BATCH_BYTES
from actors.state import WorkerState
from actors.surroundings import Surroundings
from actors.tracing import Tracer
from messages import (
    Cancelled,
    Delivery,
    Failed,
    Outcome,
    Reason,
    Rejected,
    Released,
    Retried,
    Succeeded,
    Undecodable,
)

if TYPE_CHECKING:
    from loguru import Logger

_REFUSED_PAUSE: Final = 0.5
"""Seconds after which what the server has refused to settle is tried again."""

_LOST_PAUSE: Final = 0.05
"""Seconds to wait after a lost reply."""

_Ending = tuple[Outcome, Settlement]


def _of_task(delivery: Delivery | Undecodable, tracer: Tracer | None) -> "Logger":
    """Return a logger that says which task a line is about, and its trace, as far as it is known.

    Its run has ended, so neither is current here.
    """
    if isinstance(delivery, Delivery):
        task = delivery.task
        trace = {} if tracer is None else tracer.named(delivery)
        return logger.bind(task_id=task.id, task_type=task.type, attempt=task.attempt, **trace)
    known = delivery.task_id
    return logger if known is None else logger.bind(task_id=known)


def _weight(outcome: Outcome) -> int:
    """Return about how many bytes an outcome adds to a call."""
    value = len(outcome.value) if isinstance(outcome, Succeeded) else 0
    return len(outcome.delivery.raw) + value


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
        self._refused: list[_Ending] = []
        self._refusals = Refusals("settle tasks")
        self._repeats = Repeats()

    async def run(self) -> None:
        """Settle outcomes until there are no more, then give back what was released."""
        with self._outcomes:
            while outcomes := await self._next():
                await self._settle(outcomes)
        while self._refused:
            await anyio.sleep(_REFUSED_PAUSE)
            await self._settle([])
        self._say_withheld(anyio.current_time(), end=True)
        await self._release()

    async def _next(self) -> list[Outcome]:
        """Wait for outcomes and return what is there, or nothing when there will be no more.

        What the server has refused is tried again meanwhile; it holds up nothing else.
        """
        while True:
            scope = anyio.move_on_after(_REFUSED_PAUSE if self._refused else inf)
            try:
                with scope:
                    return self._batch(await self._outcomes.receive())
            except anyio.EndOfStream:
                return []
            await self._settle([])

    def _batch(self, first: Outcome) -> list[Outcome]:
        batch = [first]
        size = _weight(first)
        while len(batch) < MAX_BATCH - len(self._refused) and size < MAX_BATCH_BYTES:
            try:
                outcome = self._outcomes.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                break
            batch.append(outcome)
            size += _weight(outcome)
        return batch

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        now = self._surroundings.now()
        by_queue: defaultdict[str, list[_Ending]] = defaultdict(list)
        for outcome in outcomes:
            ending = settlement(outcome, self._worker_id, now, self._surroundings.token)
            if ending is not None:
                by_queue[outcome.delivery.queue].append((outcome, ending))
            elif isinstance(outcome, Released):
                # Given back all at once at the end, so that their old order is known (I3).
                self._released.append(outcome)
        for again in self._refused:
            by_queue[again[0].delivery.queue].append(again)
        self._refused = []
        for queue, endings in by_queue.items():
            await self._settle_queue(queue, endings)

    async def _settle_queue(self, queue: str, endings: list[_Ending]) -> None:
        try:
            answers = await self._session.settle(queue, [ending for _, ending in endings])
        except RefusedError as error:
            self._refusals.note(queue, error)
            answers = [Settled.FAILED] * len(endings)
        else:
            self._refusals.clear(queue)
        now = anyio.current_time()
        state, seconds = self._state, 0.0
        # Nearly all are such: they are counted together.
        succeeded: list[Succeeded] = []
        others: list[tuple[Outcome, Settled]] = []
        for ending, answer in zip(endings, answers, strict=True):
            outcome = ending[0]
            if answer is Settled.DONE and isinstance(outcome, Succeeded):
                self._ledger.discard(queue, outcome.delivery.raw)
                succeeded.append(outcome)
                seconds += outcome.run.duration
                continue
            others.append((outcome, answer))
            if answer is Settled.FAILED:
                self._refused.append(ending)
            else:
                self._account(outcome, answer, now)
        if succeeded:
            count = len(succeeded)
            state.processed += count
            state.recent.note(queue, now, tasks=count, ran=count, seconds=seconds)
        if state.instruments is not None:
            state.instruments.settled(queue, succeeded, others)
        if state.listener is not None:
            outcomes = [outcome for outcome, _ in endings]
            state.listener.settled(queue, list(zip(outcomes, answers, strict=True)))
        self._say_withheld(now)
        state.turned()

    def _say_withheld(self, now: float, *, end: bool = False) -> None:
        for reason, count in self._repeats.over(now, end=end).items():
            logger.warning("Dead letters ({}): {} more, too many to tell of each", reason, count)

    def _account(self, outcome: Outcome, answer: Settled, now: float) -> None:
        delivery = outcome.delivery
        self._ledger.discard(delivery.queue, delivery.raw)
        state = self._state
        if answer is Settled.STALE:
            state.stale += 1
            _of_task(delivery, state.tracer).warning(
                "Dropping an answer: its task is no longer held by this worker"
            )
            return
        if answer is Settled.CANCELLED or isinstance(outcome, Cancelled):
            state.cancelled += 1
            return
        if isinstance(outcome, Failed | Rejected):
            state.processed += 1
            state.failed += 1
            state.rejected += 1
            run = outcome.run
            ran, seconds = (0, 0.0) if run is None else (1, run.duration)
            state.recent.note(delivery.queue, now, failed=1, ran=ran, seconds=seconds)
            reason = Reason.ATTEMPTS_EXHAUSTED if isinstance(outcome, Failed) else outcome.reason
            if self._repeats.admits(reason.value, now):
                _of_task(delivery, state.tracer).warning(
                    "Dead letter ({}): {}", reason.value, outcome.error
                )
        elif isinstance(outcome, Retried):
            state.retried += 1

    async def _release(self) -> None:
        by_queue: defaultdict[str, list[bytes]] = defaultdict(list)
        bodies: dict[bytes, bytes] = {}
        for released in sorted(self._released, key=lambda one: one.delivery.number):
            delivery = released.delivery
            by_queue[delivery.queue].append(delivery.raw)
            if (body := released_body(delivery, self._surroundings.token)) is not None:
                bodies[delivery.raw] = body
        for queue, raws in by_queue.items():
            try:
                await self._give_back(queue, raws, bodies)
            except RefusedError as error:
                logger.warning("The server refuses to take tasks of {} back: {}", queue, error)
                continue
            for raw in raws:
                self._ledger.discard(queue, raw)
            self._state.released += len(raws)

    async def _give_back(
        self, queue: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes]
    ) -> None:
        """Give tasks back; after a lost reply, those that the inflight list still shows.

        The drain bounds it: what isn't given back in time comes back when the lease lapses.
        """
        left = raws
        while left:
            try:
                await self._session.release(queue, left, bodies)
            except UnreachableError as error:
                logger.debug("Giving tasks back: a reply was lost: {}", error)
                left = await self._still_held(queue, raws)
            else:
                return

    async def _still_held(self, queue: str, raws: Sequence[bytes]) -> list[bytes]:
        while True:
            await anyio.sleep(_LOST_PAUSE)
            try:
                listed = Counter(await self._session.held(queue))
            except UnreachableError as error:
                logger.debug("Looking at what is still held failed: {}", error)
                continue
            left: list[bytes] = []
            for raw in raws:
                if listed[raw]:
                    listed[raw] -= 1
                    left.append(raw)
            return left
