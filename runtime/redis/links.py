"""Single connections, and a few of them that calls take turns on.

Why not redis-py's own pool: a cancelled call can lose one of its connections for good, and it
can't say whether a failed call had been written to the wire. A producer needs to know.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from redis.exceptions import RedisError

from runtime.errors import ServerUnreachableError
from runtime.redis.failures import describe


class Link(Protocol):
    """What we use of a connection of redis-py."""

    @property
    def is_connected(self) -> bool:
        """Whether it is open, as far as we know."""

    async def connect(self) -> None:
        """Open it, log in and choose the database; does nothing if it is open."""

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002 - redis-py's
        """Close it."""

    async def can_read(self) -> bool:
        """Tell whether bytes, or the end of the stream, lie ready."""

    async def send_command(self, *words: str | bytes | int) -> None:
        """Write a command; a failure or a cancellation closes the connection."""

    async def send_packed_command(self, command: bytes) -> None:
        """Write what `hiredis.pack_command` made; a failure or a cancellation closes it."""

    async def read_response(self, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - redis-py's
        """Read a reply, None past the time-out; other failures and cancellation close it."""


async def open_link(link: Link, within: float) -> None:
    """Connect, after closing what is open but can't be used any more.

    Args:
        link: the connection.
        within: bound of all of it, in seconds.

    Raises:
        RedisError: the server refuses us, or isn't there.
        OSError: likewise; TimeoutError among them.
    """
    async with asyncio.timeout(within):
        if link.is_connected and await link.can_read():
            # The server has closed it, or a reply is there that nobody waits for.
            await link.disconnect(nowait=True)
        await link.connect()


async def hang_up(link: Link) -> None:
    """Close a connection and wait until its socket is closed; never fails."""
    with contextlib.suppress(RedisError, OSError):
        await link.disconnect()


class Links:
    """Connections of one event loop to one server.

    Args:
        dial: makes a connection, not yet open.
        address: the server as shown to people.
        limit: calls beyond that many at a time wait.
        timeout: bound of opening a connection, and of each exchange, in seconds.
    """

    def __init__(
        self, dial: Callable[[], Link], address: str, *, limit: int = 10, timeout: float = 5.0
    ) -> None:
        self._dial = dial
        self._address = address
        self._timeout = timeout
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Link] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"Links({self._address}, idle={len(self._idle)}, closed={self._closed})"

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncIterator[Link]:
        """Lend an open connection.

        Cancelled while it opens one, it leaves none behind.

        Raises:
            ServerUnreachableError: none could be opened; nothing was sent.
        """
        async with self._slots:
            link = self._idle.pop() if self._idle else self._dial()
            try:
                await self._open(link)
                yield link
            finally:
                if link.is_connected and not self._closed:
                    self._idle.append(link)
                else:
                    await hang_up(link)

    async def exchange(self, link: Link, *words: str | bytes | int) -> Any:
        """Send a command and return its reply.

        A failure, a time-out or a cancellation closes the connection; whether the server has
        done what was asked is then unknown.

        Raises:
            RedisError: the server answered with an error, or the connection failed.
            OSError: the connection failed; TimeoutError among them.
        """
        async with asyncio.timeout(self._timeout):
            await link.send_command(*words)
            return await link.read_response()

    async def call(self, *words: str | bytes | int) -> Any:
        """Do one exchange on a connection of our own choice.

        Raises:
            ServerUnreachableError: no connection could be opened.
            RedisError: as `exchange`.
            OSError: as `exchange`.
        """
        async with self.borrow() as link:
            return await self.exchange(link, *words)

    async def aclose(self) -> None:
        """Close the connections: idle ones now, those in use when their call ends.

        Cancelled, it leaves the closing of the sockets to the event loop.
        """
        self._closed = True
        while self._idle:
            await hang_up(self._idle.pop())

    async def _open(self, link: Link) -> None:
        try:
            await open_link(link, self._timeout)
        except (RedisError, OSError) as error:
            raise ServerUnreachableError(self._address, describe(error)) from error
        except asyncio.CancelledError:
            await link.disconnect(nowait=True)
            raise
