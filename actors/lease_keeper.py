"""Deals with a lease that had stopped: what was reclaimed meanwhile must not be run on."""

from loguru import logger

from actors.broker import BrokerError, Session
from actors.ledger import Ledger
from actors.state import Interrupt, WorkerState


class LeaseKeeper:
    """Waits for the lease to be found stopped and renewed, and compares.

    The renewal itself is the session's; it needs a thread of its own, which no handler can hold
    up. Until the comparison is done the session doesn't count as fresh: nothing is taken or begun.

    Args:
        queues: what this worker holds tasks of.
        session: the broker's side.
        state: what runs.
        ledger: what is held.
    """

    def __init__(
        self, queues: tuple[str, ...], session: Session, state: WorkerState, ledger: Ledger
    ) -> None:
        self._queues = queues
        self._session = session
        self._state = state
        self._ledger = ledger

    async def run(self) -> None:
        """Compare after each lapse, for ever."""
        while True:
            await self._session.lapsed()
            logger.warning("This worker's lease may have lapsed; looking at what it still holds")
            try:
                for queue in self._queues:
                    await self._compare(queue)
            except BrokerError as error:
                logger.debug("Looking at what is still held failed: {}", error)
                continue
            self._session.verified()

    async def _compare(self, queue: str) -> None:
        before = self._ledger.snapshot(queue)
        listed = await self._session.held(queue)
        missing = self._ledger.drop_missing(queue, before, listed)
        for running in list(self._state.running.values()):
            delivery = running.delivery
            if delivery.queue == queue and missing[delivery.raw] > 0:
                missing[delivery.raw] -= 1
                logger.warning(
                    "Task {} was taken over by another worker; its handler is cancelled",
                    delivery.task.id,
                )
                # Its answer would be dropped (I2).
                running.cancel(Interrupt.LEASE_LOST)
