"""Which queues the server refuses to serve: one that is broken must not keep the others waiting."""

from collections.abc import Iterable
from typing import Final

import anyio
from loguru import logger

from actors.broker import RefusedError

_PAUSE: Final = 1.0
"""Seconds for which a queue is left alone after a refusal."""


class Refusals:
    """The queues that were refused of late."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Refusals({', '.join(self._until)})"

    def note(self, queue: str, error: RefusedError) -> None:
        """Leave a queue alone for a while, and say why."""
        logger.warning("The server refuses to hand out tasks of {}: {}", queue, error)
        self._until[queue] = anyio.current_time() + _PAUSE

    def others(self, queues: Iterable[str]) -> list[str]:
        """Return the queues that may be asked, in their order."""
        if not self._until:
            return list(queues)
        now = anyio.current_time()
        self._until = {queue: until for queue, until in self._until.items() if until > now}
        return [queue for queue in queues if queue not in self._until]
