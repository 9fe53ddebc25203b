"""The end of a worker: channels closed from the head on, always in the same order.

1. The fetcher stops; what no executor has begun goes back to the head of its queue.
2. The executors finish what they run, up to the grace.
3. What still runs is cancelled and given back, its attempt not counted.
4. The executors end, the outcomes channel closes, the publisher settles all that is left.
5. The lease and the heartbeat are removed, by whoever opened the session.
"""

from collections.abc import Callable
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from attrs import frozen
from loguru import logger

from actors.broker import Session
from actors.executor import Executor
from actors.fetcher import Fetcher
from actors.state import Interrupt, WorkerState
from actors.stop_request import StopRequest
from messages import Outcome, Released

_OBEY: Final = 0.5
"""Seconds that a cancelled handler has to end before it is given up."""


@frozen(eq=False)
class Ends:
    """Set when an actor has ended."""

    executors: anyio.Event
    fetcher: anyio.Event
    publisher: anyio.Event


class Drain:
    """Ends the other actors in order once a stop is requested.

    Args:
        stop: the request.
        ends: tells when actors have ended.
        fetcher: the head of the chain.
        executors: all of them.
        outcomes: an end of the outcomes channel, for tasks given back on a handler's behalf.
        state: what runs.
        session: to give the server up when the time is.
        shut: closes the publisher's channel and ends what is left.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the actor talks to these and to nobody else
        self,
        stop: StopRequest,
        ends: Ends,
        fetcher: Fetcher,
        executors: list[Executor],
        outcomes: MemoryObjectSendStream[Outcome],
        state: WorkerState,
        session: Session,
        shut: Callable[[], None],
    ) -> None:
        self._stop = stop
        self._ends = ends
        self._fetcher = fetcher
        self._executors = executors
        self._outcomes = outcomes
        self._state = state
        self._session = session
        self._shut = shut

    async def run(self) -> None:
        """Wait for the request, then drain."""
        with self._outcomes:
            await self._stop.wait()
            self._fetcher.stop()
            if not await self._stop.until_running_ends(self._ends.executors):
                await self._interrupt()
        settled = await self._stop.until_settling_ends(self._ends.publisher)
        if not (await self._stop.until_settling_ends(self._ends.fetcher) and settled):
            # Calls are shielded from the cancellation that follows, and the time is up.
            self._session.cut()
        self._shut()

    async def _interrupt(self) -> None:
        """Cancel what still runs; give back on its behalf what doesn't obey."""
        for running in list(self._state.running.values()):
            running.cancel(Interrupt.DRAIN)
        with anyio.move_on_after(_OBEY):
            await self._ends.executors.wait()
        for running in self._state.running.values():
            task = running.delivery.task
            logger.error("The handler of task {} can't be cancelled; it is given up", task.id)
            running.forsaken = True
            running.note_saves()
            self._outcomes.send_nowait(Released(running.delivery))
        if not self._ends.executors.is_set():
            for executor in self._executors:
                executor.close()
