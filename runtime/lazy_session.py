"""A connection to the server that is made at its first use, and can be closed and made again."""

import asyncio
import os
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from attrs import frozen

from runtime.producer_session import Session, open_session
from runtime.redis.address import safe_url


@frozen
class Sources:
    """Where time, ids and chance come from.

    Attributes:
        now: the time, UTC.
        new_id: a fresh id for a task.
        draw: a random number from 0 up to 1.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    draw: Callable[[], float] = random.random


SOURCES: Final = Sources()


class LazySession:
    """Connects by itself at the first call, for one event loop.

    Args:
        url: the server; the environment's REDIS_URL, read when connecting, if not given.
        timeout: how long the server may take to connect or reply, in seconds.
        sources: where time, ids and chance come from.
    """

    def __init__(self, url: str | None, *, timeout: float, sources: Sources) -> None:
        self._url = url
        self._timeout = timeout
        self._sources = sources
        self._connecting = asyncio.Lock()
        self._session: Session | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._session is not None

    def _where(self) -> str:
        """Return the server as it may be shown."""
        return self._session.address if self._session else safe_url(self._url or "REDIS_URL")

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect and log in, unless that is done.

        Cancelled, it leaves no connection behind.

        Raises:
            ConfigurationError: REDIS_URL is wrong, or missing.
            ServerUnreachableError: the server isn't there, or doesn't let us in.
        """
        await self._open()

    async def close(self) -> None:
        """Close all connections; whoever awaits a result gets a `QueueClosedError`.

        Does nothing when there is nothing to close. Cancelled, it leaves the rest of the closing
        to the event loop.
        """
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()

    async def _open(self) -> Session:
        if self._session is not None:
            return self._session
        async with self._connecting:
            if self._session is None:
                url = self._url or os.environ.get("REDIS_URL")
                self._session = await open_session(url, self._timeout, self._sources.draw)
            return self._session
