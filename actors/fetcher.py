"""Takes tasks from the queues and gives them to the executors.

It is the head of the worker's chain of channels: when it ends, the deliveries channel closes and
the executors end after their last delivery. What it does next is decided from the state alone, in
`_step`; each step makes at most one call to the server.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import anyio
from loguru import logger

from actors.broker import (
    BrokerError,
    LeaseLapsedError,
    RefusedError,
    Session,
    Taken,
    UnreachableError,
)
from actors.fetch_policy import FetchPolicy
from actors.intake import Intake
from actors.ledger import Ledger
from actors.refusals import Refusals
from actors.settings import MAX_BATCH, WorkerSettings
from actors.state import WorkerState

_LEASE_LOOK: Final = 0.05
"""Seconds between looks at a lease that isn't fresh, and after a lost reply."""

_REFUSED_PAUSE: Final = 0.5
"""Seconds to wait after the server has refused a call for reasons of its own."""


class Fetcher:
    """The one actor that takes tasks.

    Args:
        queues: whose tasks to take.
        session: the broker's side.
        intake: where what it takes enters.
        state: what the worker is doing.
        ledger: what it holds.
        settings: the worker's figures.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the actor talks to these and to nobody else
        self,
        queues: Sequence[str],
        session: Session,
        intake: Intake,
        state: WorkerState,
        ledger: Ledger,
        settings: WorkerSettings,
    ) -> None:
        self._queues = deque(queues)
        self._session = session
        self._intake = intake
        self._state = state
        self._ledger = ledger
        self._settings = settings
        # What is held and not settled is bounded, however long the publisher has to wait.
        self._most = max(MAX_BATCH, 2 * state.slots)
        self._policy = FetchPolicy(state.slots, settings.horizon)
        self._stopping = False
        self._withdrawn: dict[str, list[bytes]] = {}
        self._suspicious = False
        self._alone = False
        self._refusals = Refusals("hand out tasks")
        self._audited = 0.0

    def __repr__(self) -> str:
        return f"Fetcher({', '.join(self._queues)}; {self._policy!r})"

    def stop(self) -> None:
        """Take nothing more, give back what no executor has begun, and end."""
        if self._stopping:
            return
        self._stopping = True
        # Now, not when the call under way has ended: no handler begins any more (I6), and idle
        # executors end even if the server is away.
        self._withdrawn = self._intake.withdraw()
        self._intake.close()
        self._session.wake()
        self._state.turned()

    async def run(self) -> None:
        """Fetch until stopped, or in burst mode until the queues are empty."""
        try:
            self._audited = anyio.current_time()
            while not self._stopping:
                await self._guarded_step()
            await self._end()
        finally:
            self._intake.end()

    async def _guarded_step(self) -> None:
        try:
            await self._step()
        except UnreachableError as error:
            # The call may have happened: look at what we hold before the next one.
            logger.debug("A call's reply was lost: {}", error)
            self._suspicious = True
            await anyio.sleep(_LEASE_LOOK)
        except LeaseLapsedError:
            await anyio.sleep(_LEASE_LOOK)
        except BrokerError as error:
            logger.warning("The server refuses to hand out tasks: {}", error)
            await anyio.sleep(_REFUSED_PAUSE)

    async def _step(self) -> None:
        """Do the one thing that is due."""
        now = anyio.current_time()
        state = self._state
        if not self._session.fresh():
            # What was taken or promised before counts for nothing now.
            self._suspicious = True
            await anyio.sleep(_LEASE_LOOK)
            return
        if self._suspicious or now - self._audited > self._settings.audit_interval:
            await self._audit()
            return
        if (wait := self._intake.patience_left(now)) <= 0:
            await self._give_back(self._intake.withdraw())
            return
        if self._intake.quiet:
            self._alone = True
            await state.change(min(wait, self._settings.audit_interval))
            return
        self._policy.observe(now, state.begun, state.ended, state.busy_seconds)
        ages = [now - running.since for running in state.running.values()]
        room = min(self._policy.room(state.buffered, ages), self._most - len(self._ledger))
        if self._alone and room > 0:
            # It was quiet for the sake of a task at the head of a queue.
            self._alone, room = False, 1
        if room <= 0:
            await state.change(min(wait, self._settings.audit_interval))
        elif not await self._take(room):
            await self._idle(wait)

    async def _take(self, room: int) -> int:
        """Take what waits now, a queue after the other; return how much that was."""
        taken = 0
        for queue in self._open_queues():
            try:
                found = await self._session.take(queue, room - taken)
            except LeaseLapsedError:
                raise
            except RefusedError as error:
                self._refusals.note(queue, error)
                continue
            self._refusals.clear(queue)
            await self._admit(queue, found)
            taken += len(found.raws)
            if taken >= room or self._intake.quiet:
                break
        if not self._settings.strict_order:
            self._queues.rotate(-1)
        return taken

    def _open_queues(self) -> list[str]:
        """Return the queues that may be asked, in their order."""
        paused = self._state.paused
        queues = [one for one in self._queues if one not in paused] if paused else self._queues
        return self._refusals.others(queues)

    async def _admit(self, queue: str, found: Taken) -> None:
        """Let in what may enter now, and give back what may not."""
        cancelled = frozenset[str]()
        if found.marked and found.raws:
            ids = self._intake.ids(found.raws)
            cancelled = (await self._session.orders((), ids)).cancelled
        if aside := self._intake.accept(queue, found.raws, cancelled):
            await self._session.release(queue, aside)

    async def _idle(self, wait: float) -> None:
        """The queues are empty: wait for a task if a slot is free, else for a slot."""
        state = self._state
        if len(state.running) + state.buffered >= state.slots:
            await state.change(min(wait, self._settings.audit_interval))
            return
        self._policy.rest()
        if self._settings.burst:
            if len(self._ledger) == 0:
                self.stop()
            else:
                await state.change(_LEASE_LOOK)
            return
        queues = self._open_queues()
        if not queues:
            await anyio.sleep(_REFUSED_PAUSE)
            return
        taken = await self._session.wait(queues)
        if not self._session.fresh():
            # The wait outlived the lease. If these are still ours, the audit finds them.
            self._suspicious = True
            return
        order = {queue: position for position, queue in enumerate(self._queues)}
        for queue, found in sorted(taken, key=lambda one: order[one[0]]):
            if queue in state.paused:
                # It came between the news of the pause and the end of the wait.
                await self._give_back({queue: list(found.raws)})
            else:
                await self._admit(queue, found)
        if taken:
            # The executor first: what the fetcher does next costs the task as much as its way here.
            await anyio.lowlevel.checkpoint()

    async def _give_back(self, unbegun: dict[str, list[bytes]]) -> None:
        """Give tasks back to the head of their queues, in their old order (I3)."""
        for queue, raws in unbegun.items():
            await self._session.release(queue, raws)
            self._state.released += len(raws)

    async def _end(self) -> None:
        """Give back what the server says that we hold and nobody here runs (I6), in its order (I3).

        A hand-back whose reply was lost isn't sent again: it could take a task away that was
        taken anew meanwhile. The inflight list tells what is still to be given back.
        """
        try:
            while True:
                try:
                    left = await self._strangers()
                    if not left:
                        self._withdrawn = {}
                        return
                    await self._give_back(left)
                except UnreachableError as error:
                    logger.debug("Giving tasks back: a reply was lost: {}", error)
                    await anyio.sleep(_LEASE_LOOK)
        except RefusedError as error:
            logger.warning("The server refuses to take tasks back: {}", error)
        finally:
            # As far as we know these are still held; the worker's last words name them.
            for queue, raws in self._withdrawn.items():
                for raw in raws:
                    self._ledger.add(queue, raw)

    async def _strangers(self) -> dict[str, list[bytes]]:
        """Read what the server says that we hold and we don't know, by queue."""
        found: dict[str, list[bytes]] = {}
        for queue in self._queues:
            if strangers := await self._strangers_of(queue):
                found[queue] = strangers
        return found

    async def _strangers_of(self, queue: str) -> list[bytes]:
        before = self._ledger.snapshot(queue)
        listed = await self._session.held(queue)
        return self._ledger.unknown(queue, before, listed)

    async def _audit(self) -> None:
        """Adopt what the server says that we hold and we don't know: lost replies.

        A half-open connection can leave a wait on the server that takes a task for nobody, so
        this is done now and then even when no reply is known to be lost.
        """
        for queue in self._refusals.others(self._queues):
            try:
                strangers = await self._strangers_of(queue)
            except RefusedError as error:
                self._refusals.note(queue, error)
                continue
            if strangers:
                logger.info(
                    "Adopting {} tasks of {} whose delivery was lost", len(strangers), queue
                )
                await self._admit(queue, Taken(tuple(strangers), marked=True))
        self._suspicious = False
        self._audited = anyio.current_time()
