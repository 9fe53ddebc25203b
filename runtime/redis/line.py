"""One connection on which calls take turns, each shielded and bounded.

A call is never cancelled halfway: a cancellation would cost its reply, and with it the knowledge
of whether it happened. It waits at most for the call's time-out instead.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, cast

import anyio
import hiredis
from loguru import logger
from redis import exceptions
from redis.exceptions import NoScriptError, RedisError, ResponseError

from actors import LeaseLapsedError, RefusedError, UnreachableError
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.failures import describe
from runtime.redis.links import Link, hang_up
from runtime.redis.meter import Meter

_LOST: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    OSError,
)


# hiredis packs in C what redis-py's connections pack in Python; its stub has the tuple's length
# wrong.
_pack: Final = cast("Callable[[tuple[str | bytes | int, ...]], bytes]", hiredis.pack_command)


Words = tuple[str | bytes | int, ...]
"""A command."""


class FullServerError(RefusedError):
    """The server has reached its maxmemory and refuses plain writes; scripts may still write."""


class Line:
    """A connection that reconnects.

    Args:
        dial: makes a connection, not yet open.
        timeout: bound of a call, connecting included, in seconds.
        backoff: paces the attempts while the server is away.
        address: the server, as shown to people.
        meter: what measures the calls, if anything does.
    """

    def __init__(
        self,
        dial: Callable[[], Link],
        timeout: float,
        backoff: ReconnectBackoff,
        address: str,
        *,
        meter: Meter | None = None,
    ) -> None:
        self._link = dial()
        self._timeout = timeout
        self._backoff = backoff
        self._address = address
        self._turn = anyio.Lock(fast_acquire=True)
        self._bound = anyio.CancelScope()
        self._cut = False
        self._meter = meter
        self._send = self._exchange if meter is None else self._metered

    def __repr__(self) -> str:
        return f"Line({self._address}, connected={self._link.is_connected})"

    async def call(self, *words: str | bytes | int) -> Any:
        """Send a command and return its reply.

        A cancellation takes effect before the command is sent or after its reply has come.

        Raises:
            UnreachableError: no reply came; whether the command was executed is unknown. A pause
                has passed that grows with each failure.
            RefusedError: the server replied with an error.
        """
        (reply,) = await self.calls(self._timeout, words)
        return reply

    async def calls(self, within: float, *commands: Words) -> list[Any]:
        """Send commands in one write and return their replies.

        The server executes each when the one before it has ended, so behind one that waits the
        others say how things are after it.

        Args:
            within: bound of all of them, in seconds.
            commands: the words of each.

        Raises:
            UnreachableError: as `call`.
            RefusedError: the server replied to one of them with an error, the first that did; the
                others were executed all the same.
        """
        try:
            async with self._turn:
                replies = await self._send(within, commands)
        except NoScriptError:
            raise
        except _LOST as error:
            why = describe(error)
            if self._meter is not None:
                self._meter.lost()
            pause = self._backoff.next()
            # One failure is a blip: the next call connects again.
            if self._backoff.failures > 1 and self._backoff.worth_saying:
                logger.warning("The Redis server at {} doesn't answer: {}", self._address, why)
            await anyio.sleep(pause)
            raise UnreachableError(why) from None
        except ResponseError as error:
            raise _refusal(error) from None
        except RedisError as error:
            raise UnreachableError(describe(error)) from None
        if self._backoff.failures:
            if self._backoff.failures > 1:
                logger.info("The Redis server at {} answers again", self._address)
            self._backoff.reset()
        return replies

    async def _exchange(self, within: float, commands: tuple[Words, ...]) -> list[Any]:
        link = self._link
        if self._cut:
            raise ConnectionAbortedError("the server was given up")
        self._bound = bound = anyio.CancelScope(deadline=anyio.current_time() + within, shield=True)
        try:
            with bound:
                if not link.is_connected:
                    await link.connect()
                    await self.connected(link)
                await link.send_packed_command(b"".join(map(_pack, commands)))
                return await _replies(link, len(commands))
        except ResponseError as error:
            # An answer, so the connection is good; but one that says the server isn't.
            if isinstance(error, _LOST):
                await self._drop()
            raise
        except BaseException:
            await self._drop()
            raise
        await self._drop()
        raise TimeoutError

    async def _metered(self, within: float, commands: tuple[Words, ...]) -> list[Any]:
        """Exchange, and tell how long that took if all was answered."""
        began = perf_counter()
        replies = await self._exchange(within, commands)
        if self._meter is not None:
            self._meter.answered(commands[0], perf_counter() - began)
        return replies

    async def connected(self, link: Link) -> None:
        """Do what is due after each connecting; nothing here."""

    def cut(self) -> None:
        """Let the call under way, and all to come, fail at once."""
        self._cut = True
        self._bound.cancel()

    async def _drop(self) -> None:
        with anyio.move_on_after(1, shield=True):
            await hang_up(self._link)

    async def aclose(self) -> None:
        """Close the connection; what is under way on it fails."""
        await self._drop()


async def _replies(link: Link, count: int) -> list[Any]:
    """Read all replies; raise the first error among them when all are read."""
    replies: list[Any] = []
    refusal: ResponseError | None = None
    for _ in range(count):
        try:
            replies.append(await link.read_response())
        except ResponseError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return replies


def _refusal(error: ResponseError) -> RefusedError:
    if str(error).startswith("NOLEASE"):
        return LeaseLapsedError("the server knows no lease of this worker")
    if isinstance(error, exceptions.OutOfMemoryError):
        return FullServerError(describe(error))
    return RefusedError(describe(error))


class WaitingLine(Line):
    """The connection of a blocking wait, which others can end by the connection's id."""

    client_id: int | None = None

    async def connected(self, link: Link) -> None:
        """Learn the id by which `CLIENT UNBLOCK` knows this connection."""
        await link.send_command("CLIENT", "ID")
        self.client_id = await link.read_response()
