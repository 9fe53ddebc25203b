"""Fires recurring tasks: pushes a task for each due time, once across all workers.

Every worker that serves a queue looks at each due time of what it declares. What it finds due it
pushes, and in the same moment notes the due time at the server, if nobody else has: that alone
makes it once. Who has fired a task goes on to look first; the others look a little later, and
usually find nothing to do. So no lead has to lapse when that worker dies. What is due is told by
the server's clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import anyio
from loguru import logger

from actors.broker import BrokerError, Recurring, RefusedError, Session
from actors.due_times import Firing, decide
from actors.handler import Handler, HandlerError
from actors.handlers import Handlers
from actors.recurrences import Recurrence
from actors.refusals import Refusals
from actors.stop_request import StopRequest
from actors.surroundings import Surroundings

_LATER: Final = 200
"""Milliseconds by which those that haven't fired a task let the one that has go first."""

_SPREAD: Final = 300
"""Milliseconds over which they spread."""

_SELDOM: Final = 10.0
"""Seconds between looks at most, so that a server's clock that is set is noticed."""

_PAUSE: Final = 0.5
"""Seconds after which a look that failed is tried again."""


class Scheduler:
    """Fires the recurring tasks of one queue until the worker is asked to stop.

    Args:
        queue: where they go.
        recurrences: what this worker declares for it.
        session: the broker's side.
        stop: after a request others fire.
        surroundings: the time of tasks; chance, so that not all look at the same moment.
    """

    def __init__(
        self,
        queue: str,
        recurrences: Sequence[Recurrence],
        session: Session,
        stop: StopRequest,
        surroundings: Surroundings,
    ) -> None:
        self._queue = queue
        self._recurrences = recurrences
        self._session = session
        self._stop = stop
        self._surroundings = surroundings
        self._mine: dict[str, int] = {}
        self._ahead: set[str] = set()
        self._refusals = Refusals("fire the recurring tasks")

    def __repr__(self) -> str:
        return f"Scheduler({self._queue}, {len(self._recurrences)} recurring tasks)"

    async def run(self) -> None:
        """Look at each due time."""
        names = [recurrence.name for recurrence in self._recurrences]
        while not self._stop.requested:
            try:
                seen = await self._session.recurring(self._queue, names)
                heard = anyio.current_time()
                await self._fire_all(seen)
            except BrokerError as error:
                self._note(error)
                await anyio.sleep(_PAUSE)
            else:
                self._refusals.clear(self._queue)
                # The server's time was read before the answer came, so this is never early.
                await anyio.sleep_until(heard + self._pause(seen))

    def _note(self, error: BrokerError) -> None:
        if isinstance(error, RefusedError):
            self._refusals.note(self._queue, error)
        else:
            logger.debug("A look at the recurring tasks of {} failed: {}", self._queue, error)

    async def _fire_all(self, seen: Recurring) -> None:
        """Fire what is due; what is refused keeps the others from nothing.

        Raises:
            BrokerError: one of them couldn't be fired.
        """
        refusal: RefusedError | None = None
        for recurrence in self._recurrences:
            fired = seen.fired[recurrence.name]
            self._warn_of_the_clock(recurrence.name, fired, seen.now)
            firing = decide(recurrence.schedule, fired, seen.now)
            if firing is None:
                continue
            try:
                await self._fire(recurrence, fired, firing)
            except RefusedError as error:
                refusal = error
        if refusal is not None:
            raise refusal

    async def _fire(self, recurrence: Recurrence, fired: int | None, firing: Firing) -> None:
        now = self._surroundings.now()
        bodies = [recurrence.body(due, now) for due in firing.dues]
        name = recurrence.name
        if await self._session.fire(self._queue, name, fired, firing.upto, bodies):
            self._mine[name] = firing.upto
            for due in firing.dues:
                logger.debug("Pushed recurring task {}", recurrence.task_id(due))

    def _warn_of_the_clock(self, name: str, fired: int | None, now: int) -> None:
        if fired is None or fired <= now:
            self._ahead.discard(name)
        elif name not in self._ahead:
            self._ahead.add(name)
            logger.warning(
                "Recurring task {} was fired {:g} s ahead of the server's clock, which was set "
                "back; it goes on when that time has come",
                name,
                (fired - now) / 1000,
            )

    def _pause(self, seen: Recurring) -> float:
        """Return after how many seconds from that look on something may be due."""
        pause = _SELDOM
        for recurrence in self._recurrences:
            name = recurrence.name
            fired = seen.fired[name]
            mine = self._mine.get(name)
            due = recurrence.schedule.following(max(seen.now, fired or 0))
            if due is None:
                continue
            if mine is None or (fired or 0) > mine:
                due += _LATER + round(_SPREAD * self._surroundings.draw())
            pause = min(pause, (due - seen.now) / 1000)
        return pause


def recurring_on(
    handlers: Mapping[str, Handler], queues: Iterable[str], max_bytes: int
) -> dict[str, tuple[Recurrence, ...]]:
    """Return what recurs on each of the queues that a worker serves.

    Args:
        handlers: whose recurring tasks, if they have any.
        queues: what the worker serves.
        max_bytes: of a task's body.

    Raises:
        HandlerError: it isn't said where one goes, it would be too large, or no handler runs it.
    """
    found: dict[str, list[Recurrence]] = {queue: [] for queue in queues}
    for recurrence in handlers.recurrences if isinstance(handlers, Handlers) else ():
        handler = handlers.get(recurrence.task_type)
        queue = recurrence.queue or (handler and handler.queue) or recurrence.default_queue
        what = f"recurring task {recurrence.name!r}"
        if queue is None:
            raise HandlerError(f"{what} goes to no queue; say which with queue=…")
        if queue not in found:
            logger.info("The {} isn't fired here: this worker doesn't serve {}", what, queue)
            continue
        if handler is None:
            raise HandlerError(
                f"{what} is of the type {recurrence.task_type!r}, for which this worker has no "
                f"handler, and goes to {queue}, which it serves; add the handler"
            )
        if (size := recurrence.size()) > max_bytes:
            raise HandlerError(
                f"{what} is {size} bytes long, more than the worker's {max_bytes}; shorten its "
                "payload"
            )
        found[queue].append(recurrence)
    return {queue: tuple(those) for queue, those in found.items() if those}
