"""Looks after the tasks of workers that died."""

from collections.abc import Sequence

import anyio
from loguru import logger

from actors.broker import BrokerError, Recovery, RefusedError, Session
from actors.death_watch import Dead, DeathWatch, Timing, Verdict, interval_for
from actors.recovery import plan_recovery, readable
from actors.settings import MAX_BATCH, MAX_BATCH_BYTES
from actors.state import WorkerState
from actors.surroundings import Surroundings
from messages import DeadLetter


class Janitor:
    """Watches the other holders of this worker's queues and recovers what the dead have held.

    Args:
        queues: what to look after.
        session: the broker's side.
        state: counts what was recovered.
        worker_id: who recovers.
        surroundings: the time of answers, the nonces of changed bodies.
        timing: when a holder is dead.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the actor talks to these and to nobody else
        self,
        queues: tuple[str, ...],
        session: Session,
        state: WorkerState,
        worker_id: str,
        surroundings: Surroundings,
        timing: Timing,
    ) -> None:
        self._session = session
        self._state = state
        self._worker_id = worker_id
        self._surroundings = surroundings
        self._timing = timing
        self._watches = {queue: DeathWatch(timing) for queue in queues}
        self._holders = 0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            for queue, watch in self._watches.items():
                try:
                    await self._look_after(queue, watch)
                except BrokerError as error:
                    logger.debug("A look at the holders of {} failed: {}", queue, error)
                    watch.disturb()
            await anyio.sleep(interval_for(self._timing, self._holders))

    async def _look_after(self, queue: str, watch: DeathWatch) -> None:
        for dead in await self._look(queue, watch):
            try:
                await self._bury(queue, dead)
            except RefusedError as error:
                # Of this one only: the others' tasks must not wait for a repair.
                logger.warning("The server refuses to recover what {} held: {}", dead.holder, error)
                watch.doubt(dead.holder)

    async def _look(self, queue: str, watch: DeathWatch) -> list[Dead]:
        if not self._session.fresh():
            # What keeps us from renewing may keep the others (I5).
            watch.disturb()
            return []
        asked = anyio.current_time()
        seen = await self._session.look(queue)
        self._holders = len(seen.leases) + len(seen.unleased)
        dead = watch.look(asked, anyio.current_time(), seen)
        return dead if self._session.fresh() else []

    async def _bury(self, queue: str, dead: Dead) -> None:
        if dead.verdict is Verdict.FORGET:
            await self._session.forget(queue, dead.holder)
            return
        pulse = dead.pulse
        recovered = 0
        while True:
            raws = await self._session.inflight(queue, dead.holder)
            # From the tail, so that what stays behind keeps its places for the next round.
            first = _first_of_last_chunk(raws)
            plan = plan_recovery(
                raws,
                dead.slots,
                self._worker_id,
                self._surroundings,
                await self._saved_numbers(queue, raws[first:]),
            )
            chunk = plan[first:]
            cancelled = await self._cancelled(queue, chunk)
            moved = await self._session.reclaim(queue, dead.holder, pulse, chunk)
            recovered += moved
            self._tell_buried(queue, chunk[len(chunk) - moved :], cancelled)
            if moved < len(chunk) or len(chunk) == len(raws):
                break
            # The first call has removed the lease; if one is there again, the holder lives.
            pulse = None
        self._state.reclaimed += recovered
        if recovered:
            logger.warning(
                "Worker {} is gone; {} tasks of {} are back", dead.holder, recovered, queue
            )

    async def _cancelled(self, queue: str, chunk: Sequence[Recovery]) -> frozenset[str]:
        """Ask which of those that are to be buried were cancelled: the server drops them instead.

        It doesn't say so afterwards. Asked only where somebody listens and something is buried.
        """
        if self._state.listener is None:
            return frozenset()
        ids = [letter.task_id for letter in _letters(chunk) if letter.task_id is not None]
        if not ids:
            return frozenset()
        try:
            return (await self._session.orders([queue], ids)).cancelled
        except RefusedError:
            return frozenset()  # what is told must not keep anything from being recovered

    def _tell_buried(
        self, queue: str, recovered: Sequence[Recovery], cancelled: frozenset[str]
    ) -> None:
        listener = self._state.listener
        if listener is None:
            return
        letters = _letters(recovered)
        buried = [letter for letter in letters if letter.task_id not in cancelled]
        dropped = [letter for letter in letters if letter.task_id in cancelled]
        if buried:
            listener.buried(queue, buried)
        if dropped:
            listener.dropped(queue, dropped)

    async def _saved_numbers(self, queue: str, raws: Sequence[bytes]) -> dict[str, int]:
        tasks = (readable(raw) for raw in raws)
        ids = [task.id for task in tasks if task is not None]
        return await self._session.saved_numbers(queue, ids) if ids else {}


def _letters(recoveries: Sequence[Recovery]) -> list[DeadLetter]:
    buried = (one.bury for one in recoveries if one.bury is not None)
    return [settlement.dead for settlement in buried if settlement.dead is not None]


def _first_of_last_chunk(raws: list[bytes]) -> int:
    """Return where the longest tail begins that fits one call."""
    size = 0
    for position in range(len(raws) - 1, -1, -1):
        size += len(raws[position]) * 2
        if size > MAX_BATCH_BYTES or len(raws) - position > MAX_BATCH:
            return min(position + 1, len(raws) - 1)
    return 0
