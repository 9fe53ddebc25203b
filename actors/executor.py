"""Takes one delivery after the other to its outcome; a worker has as many executors as slots."""

from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from actors.current import current_task
from actors.execution import Execution, Tools
from actors.state import Interrupt, Running
from actors.traced import traced
from messages import Delivery, Outcome, Released

_SHARE: Final = 0.002
"""Seconds after which an executor that never waits lets the other actors have their turn."""

_LEASE_LOOK: Final = 0.05
"""Seconds between looks at a lease that isn't fresh."""


class Executor:
    """One slot.

    Args:
        slot: its number.
        deliveries: what to run; the executor ends when it is closed and empty.
        outcomes: what became of it.
        tools: what all executors share.
    """

    def __init__(
        self,
        slot: int,
        deliveries: MemoryObjectReceiveStream[Delivery],
        outcomes: MemoryObjectSendStream[Outcome],
        tools: Tools,
    ) -> None:
        self._slot = slot
        self._deliveries = deliveries
        self._outcomes = outcomes
        self._tools = tools
        self._state = tools.state
        execute, tracer = Execution(tools).execute, tools.state.tracer
        self._execute = execute if tracer is None else traced(execute, tracer, tools.worker_id)
        self._loop_task = 0

    async def run(self) -> None:
        """Run deliveries until there are no more."""
        self._loop_task = anyio.get_current_task().id
        state, session = self._state, self._tools.session
        shared = now = anyio.current_time()
        with self._deliveries, self._outcomes:
            while True:
                if state.buffered and not session.fresh():
                    # Another worker may have them by now; the fetcher will know.
                    await anyio.sleep(_LEASE_LOOK)
                    now = anyio.current_time()
                    continue
                try:
                    delivery = self._deliveries.receive_nowait()
                except anyio.WouldBlock:
                    await state.idle.rest()
                    shared = now = anyio.current_time()
                    continue
                except anyio.EndOfStream:
                    return
                state.begun += 1
                if state.buffered:
                    state.idle.wake_one()
                now = await self._begin(delivery, now)
                # Handlers that never wait would keep the publisher and the fetcher from the loop.
                if now - shared > _SHARE:
                    await anyio.lowlevel.checkpoint()
                    # The others' turn may have been a long one; it isn't the next handler's time.
                    shared = now = anyio.current_time()

    def close(self) -> None:
        """Close the outcomes channel on behalf of a handler that can't be cancelled."""
        self._outcomes.close()

    async def _begin(self, delivery: Delivery, now: float) -> float:
        """Run a delivery, unless it was lost while it waited; return the time of its end."""
        tools, state = self._tools, self._state
        if not tools.ledger.holds(delivery.queue, delivery.raw):
            state.turned()
            return now
        running = Running(
            delivery, now, tools.surroundings.now(), anyio.CancelScope(), self._loop_task
        )
        state.running[self._slot] = running
        # It isn't taken back: between two runs nothing is logged here.
        current_task.set(delivery.task)
        try:
            outcome = await self._execute(delivery, running)
        finally:
            # Also when a crash elsewhere cancels the tree: what is no longer here doesn't run.
            state.running.pop(self._slot, None)
            state.turned()
        if running.forsaken or (
            # It runs elsewhere by now; there is nothing of it here to give back.
            isinstance(outcome, Released) and running.interrupt is Interrupt.LEASE_LOST
        ):
            return anyio.current_time()
        try:
            self._outcomes.send_nowait(outcome)
        except anyio.BrokenResourceError:
            # The publisher has gone down with the tree: the task comes back when the lease lapses.
            return anyio.current_time()
        return running.since + running.took
