"""Says of tasks that take a while where they run and how far they are.

It looks at what runs now and then, so a handler's call of `progress` is only a note in memory, and
a task that ends before anybody would look costs nothing.
"""

from itertools import islice
from typing import Final

import anyio
from attrs import frozen
from loguru import logger

from actors.broker import BrokerError, Session
from actors.ledger import Ledger
from actors.settings import MAX_BATCH
from actors.state import Running, WorkerState
from actors.surroundings import Surroundings
from messages import Progress, encode_progress

_LOOK: Final = 0.5
"""Seconds between looks, and that a task has run when it is first told of."""

_REPEAT: Final = 20.0
"""Seconds after which it is told again where a task runs, though nothing has changed."""

_EXPIRES: Final = 60.0
"""Seconds after which what was told of a task is gone, if its worker is."""


@frozen(eq=False)
class _Told:
    """What was told of a run.

    Attributes:
        body: as it was stored.
        progress: how far it was.
        at: when, in seconds of the event loop's clock.
    """

    body: bytes
    progress: tuple[float, float | None] | None
    at: float


class Reporter:
    """Stores how far running tasks are, and removes it when they are settled.

    A report that fails is left out: the next one tells more.

    Args:
        session: the broker's side.
        state: what runs.
        ledger: what is held, and so isn't settled.
        worker_id: who runs it.
        surroundings: the time of the reports.
    """

    def __init__(
        self,
        session: Session,
        state: WorkerState,
        ledger: Ledger,
        worker_id: str,
        surroundings: Surroundings,
    ) -> None:
        self._session = session
        self._state = state
        self._ledger = ledger
        self._worker_id = worker_id
        self._surroundings = surroundings
        self._told: dict[Running, _Told] = {}

    def __repr__(self) -> str:
        return f"Reporter({len(self._told)} told of)"

    async def run(self) -> None:
        """Look for ever; at the end nothing that was told is left, if the server is in reach."""
        try:
            while True:
                await anyio.sleep(_LOOK)
                await self._report(self._due(anyio.current_time()), self._over())
        finally:
            if self._told and self._session.fresh():
                # Bounded as each call is.
                with anyio.CancelScope(shield=True):
                    await self._report({}, list(self._told))

    def _due(self, now: float) -> dict[Running, _Told]:
        """Return what is to be told now."""
        due = (
            (running, _Told(self._compose(running), _progress_of(running), now))
            for running in self._state.running.values()
            if self._is_due(running, now)
        )
        return dict(islice(due, MAX_BATCH))

    def _is_due(self, running: Running, now: float) -> bool:
        if now - running.since < _LOOK or running.forsaken:
            return False
        told = self._told.get(running)
        if told is None or told.progress != _progress_of(running):
            return True
        return now - told.at > _REPEAT

    def _over(self) -> list[Running]:
        """Return those that were told of and are settled, or given back."""
        running = set(self._state.running.values())
        over = (
            one
            for one in self._told
            if (one not in running or one.forsaken)
            and not self._ledger.holds(one.delivery.queue, one.delivery.raw)
        )
        return list(islice(over, MAX_BATCH))

    def _compose(self, running: Running) -> bytes:
        delivery = running.delivery
        done, total = _progress_of(running) or (None, None)
        return encode_progress(
            Progress(
                task_id=delivery.task.id,
                type=delivery.task.type,
                queue=delivery.queue,
                worker_id=self._worker_id,
                started_at=running.began,
                attempt=delivery.task.attempt,
                updated_at=self._surroundings.now(),
                done=done,
                total=total,
            )
        )

    async def _report(self, due: dict[Running, _Told], over: list[Running]) -> None:
        if not due and not over:
            return
        progress = {running.delivery.task.id: told.body for running, told in due.items()}
        gone = {running.delivery.task.id: self._told[running].body for running in over}
        try:
            await self._session.report(progress, gone, _EXPIRES)
        except BrokerError as error:
            logger.debug("Telling how far tasks are failed: {}", error)
            return
        self._told |= due
        for running in over:
            del self._told[running]


def _progress_of(running: Running) -> tuple[float, float | None] | None:
    return running.notes.progress if running.notes is not None else None
