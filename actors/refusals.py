"""What the server refuses: a broken queue must not keep the others waiting, nor fill the log."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import anyio
from loguru import logger

from actors.broker import RefusedError

_PAUSE: Final = 1.0
"""Seconds for which a queue is left alone after a refusal."""


class Refusals:
    """The queues that were refused of late.

    Args:
        what: what the server refuses, in words, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._until: dict[str, float] = {}
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"Refusals({', '.join(self._until)})"

    def note(self, queue: str, error: RefusedError) -> None:
        """Leave a queue alone for a while; say why the 1st, 2nd, 4th, 8th … time."""
        self._counts[queue] += 1
        count = self._counts[queue]
        if count & (count - 1) == 0:
            logger.warning("The server refuses to {} of {}: {}", self._what, queue, error)
        self._until[queue] = anyio.current_time() + _PAUSE

    def clear(self, queue: str) -> None:
        """Note that the server has served a queue."""
        if queue in self._counts:
            del self._counts[queue]

    def others(self, queues: Iterable[str]) -> list[str]:
        """Return the queues that may be asked, in their order."""
        if not self._until:
            return list(queues)
        now = anyio.current_time()
        self._until = {queue: until for queue, until in self._until.items() if until > now}
        return [queue for queue in queues if queue not in self._until]
