"""Moves delayed tasks whose time has come to the tail of their queue.

Of all workers that serve a queue one leads and looks; the others ask now and then whether its lead
has lapsed. So looking costs the server the same however many workers there are. What is due is
told by the server's clock.
"""

from typing import Final

import anyio
from loguru import logger

from actors.broker import BrokerError, Promoted, Session
from actors.surroundings import Surroundings

LIMIT: Final = 500
"""Tasks that one call moves at most."""

_OFTEN: Final = 0.05
"""Seconds between the leader's looks at most: a task that is delayed by less is late by less."""

_SELDOM: Final = 0.005
"""Seconds between the leader's looks at least."""

_SPREAD: Final = 0.1
"""Seconds over which those that follow spread their questions."""

_PAUSE: Final = 0.5
"""Seconds after which a look that failed is tried again."""


class Promoter:
    """Looks after one queue's delayed tasks.

    Args:
        queue: whose.
        session: the broker's side.
        surroundings: chance, so that not all who follow ask at the same time.
    """

    def __init__(self, queue: str, session: Session, surroundings: Surroundings) -> None:
        self._queue = queue
        self._session = session
        self._surroundings = surroundings

    def __repr__(self) -> str:
        return f"Promoter({self._queue})"

    async def run(self) -> None:
        """Look for ever."""
        while True:
            pause = await self._look()
            await anyio.sleep(pause)

    async def _look(self) -> float:
        """Move what is due; return after how many seconds to look again."""
        if not self._session.fresh():
            # Nobody leads who may be taken for dead.
            return _PAUSE
        try:
            promoted = await self._session.promote(self._queue, LIMIT)
        except BrokerError as error:
            logger.debug("A look at the delayed tasks of {} failed: {}", self._queue, error)
            return _PAUSE
        return self._pause(promoted)

    def _pause(self, promoted: Promoted) -> float:
        if not promoted.leads:
            return promoted.wait + _SPREAD * self._surroundings.draw()
        if promoted.moved >= LIMIT:
            return 0
        return min(_OFTEN, max(_SELDOM, promoted.wait))
