"""The end of a worker: channels closed from the head on, always in the same order.

1. The fetcher stops; what no executor has begun goes back to the head of its queue.
2. The executors finish what they run, up to the grace.
3. What still runs is cancelled and given back, its attempt not counted.
4. The executors end, the outcomes channel closes, the publisher settles all that is left.
5. The lease and the heartbeat are removed, by whoever opened the session.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from attrs import frozen
from loguru import logger

from actors.broker import Session
from actors.executor import Executor
from actors.fetcher import Fetcher
from actors.state import Interrupt, WorkerState
from messages import Outcome, Released

_OBEY: Final = 0.5
"""Seconds that a cancelled handler has to end before it is given up."""

_SETTLE: Final = 5.0
"""Seconds that the publisher has for the last answers when the grace was the full one."""

_HANDLERS_SHARE: Final = 0.6
"""The part of a short grace that the handlers get; the rest is for their answers."""


class StopRequest:
    """Whether and until when the worker is to end; a later request can only shorten it."""

    def __init__(self) -> None:
        self._requested = anyio.Event()
        self._scopes: list[tuple[anyio.CancelScope, bool]] = []
        self._joining: anyio.CancelScope | None = None
        self.running_until = inf
        self.settling_until = inf

    @property
    def requested(self) -> bool:
        """Whether the worker is to end."""
        return self._requested.is_set()

    def request(self, grace: float, settle: float = _SETTLE) -> None:
        """Ask for the end.

        Args:
            grace: seconds that running handlers may go on.
            settle: seconds after that for what is left to be settled.
        """
        now = anyio.current_time()
        self.running_until = min(self.running_until, now + grace)
        self.settling_until = min(self.settling_until, now + grace + settle)
        self._requested.set()
        if self._joining is not None:
            self._joining.cancel(reason="stopped before the server was reached")
        for scope, is_settling in self._scopes:
            scope.deadline = self.settling_until if is_settling else self.running_until

    def abandon_if_requested(self, joining: anyio.CancelScope | None) -> None:
        """Name the scope that a request, made or to come, cancels: nothing is held yet."""
        self._joining = joining
        if joining is not None and self.requested:
            joining.cancel(reason="stopped before it began")

    def request_soon(self, cancel_grace: float) -> None:
        """Ask for the end within `cancel_grace` seconds, the settling included."""
        handlers = cancel_grace * _HANDLERS_SHARE
        self.request(handlers, cancel_grace - handlers)

    async def wait(self) -> None:
        """Wait for a request."""
        await self._requested.wait()

    async def until_running_ends(self, event: anyio.Event) -> bool:
        """Wait for an event while handlers may run; return whether it came."""
        return await self._until(event, is_settling=False)

    async def until_settling_ends(self, event: anyio.Event) -> bool:
        """Wait for an event while answers may be settled; return whether it came."""
        return await self._until(event, is_settling=True)

    async def _until(self, event: anyio.Event, *, is_settling: bool) -> bool:
        deadline = self.settling_until if is_settling else self.running_until
        scope = anyio.CancelScope(deadline=deadline)
        self._scopes.append((scope, is_settling))
        try:
            with scope:
                await event.wait()
        finally:
            self._scopes.remove((scope, is_settling))
        return event.is_set()


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
            self._outcomes.send_nowait(Released(running.delivery))
        if not self._ends.executors.is_set():
            for executor in self._executors:
                executor.close()
