"""Looks for what people order while tasks wait and run: cancelled tasks, paused queues.

Tasks that wait are none of its business: whoever takes one asks whether it was cancelled.
"""

from typing import Final

import anyio
from loguru import logger

from actors.broker import BrokerError, Session
from actors.state import Interrupt, WorkerState

_INTERVAL: Final = 0.25
"""Seconds between looks; one costs the server a few microseconds."""


class OrderWatch:
    """Ends the handlers of cancelled tasks, and says which queues are paused.

    Args:
        queues: what the worker serves.
        session: the broker's side.
        state: what runs; learns which queues are paused.
    """

    def __init__(self, queues: tuple[str, ...], session: Session, state: WorkerState) -> None:
        self._queues = queues
        self._session = session
        self._state = state

    def __repr__(self) -> str:
        return f"OrderWatch({', '.join(self._queues)})"

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self._look()
            except BrokerError as error:
                logger.debug("A look for orders failed: {}", error)
            await anyio.sleep(_INTERVAL)

    async def _look(self) -> None:
        running = list(self._state.running.values())
        ids = [one.delivery.task.id for one in running]
        orders = await self._session.orders(self._queues, ids)
        self._heed_pauses(orders.paused)
        for one in running:
            if one.delivery.task.id in orders.cancelled:
                # It was answered when it was cancelled; the publisher drops its body.
                one.cancel(Interrupt.CANCELLED)

    def _heed_pauses(self, paused: frozenset[str]) -> None:
        state = self._state
        if paused == state.paused:
            return
        for queue in paused - state.paused:
            logger.info("Queue {} is paused: nothing is taken from it", queue)
        for queue in state.paused - paused:
            logger.info("Queue {} is no longer paused", queue)
        state.paused = paused
        # A wait under way is for the queues that were open when it began.
        self._session.wake()
