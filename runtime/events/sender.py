"""Sends a worker's records to the stream, beside the worker: whatever happens here, it goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from loguru import logger

from actors import BrokerError, UnreachableError
from runtime.events.outbox import Outbox
from runtime.events.records import Record
from runtime.redis import keys
from runtime.redis.line import Line

_PAUSE: Final = 0.1
"""Seconds in which records gather before they are sent."""

_BATCH: Final = 1_000
"""Records of one write."""

_WITHIN: Final = 5.0
"""Seconds that a write may take."""

_LAST: Final = 2.0
"""Seconds that sending the last records may take when the worker ends."""


class Sender:
    """Sends what an outbox holds.

    Args:
        outbox: where the records wait.
        line: the way to the server, this sender's own.
        kept: how many events the stream keeps, about.
    """

    def __init__(self, outbox: Outbox, line: Line, kept: int) -> None:
        self._outbox = outbox
        self._line = line
        self._add = ("XADD", keys.EVENTS, "MAXLEN", "~", str(kept), "*")
        self._troubled = False
        self._lost = 0
        self._scope = anyio.CancelScope()

    def __repr__(self) -> str:
        return f"Sender({self._outbox!r}, dropped={self.dropped})"

    @property
    def dropped(self) -> int:
        """How many events were dropped, because the server was away, full or forbids them."""
        return self._lost + self._outbox.displaced

    async def run(self) -> None:
        """Send until stopped, which takes effect between two writes."""
        with self._scope:
            while True:
                await self._outbox.wait()
                await anyio.sleep(_PAUSE)
                await self.flush()

    def stop(self) -> None:
        """Let `run` return; a write under way is ended first."""
        self._scope.cancel()

    async def flush(self) -> None:
        """Send what is there; what fails is dropped, and said once until sending works again."""
        while self._outbox:
            if self._troubled and not await self._answers():
                return
            records = self._outbox.take(_BATCH)
            try:
                await self._line.calls(_WITHIN, *(self._words(record) for record in records))
            except BrokerError as error:
                # Some of them may be there: sent again, they would be there twice.
                self._lost += len(records)
                self._say_trouble(error)
                if isinstance(error, UnreachableError):
                    return
            else:
                self._say_well()

    def give_up(self) -> None:
        """Let a write under way fail at once, so that a server that is gone delays no end."""
        self._line.cut()

    async def aclose(self) -> None:
        """Close the connection, and say how many events were dropped, if any were."""
        await self._line.aclose()
        self._lost += len(self._outbox.take(len(self._outbox)))
        if self.dropped:
            logger.warning("{} events were dropped in all", self.dropped)

    async def _answers(self) -> bool:
        """Ask whether the server is there again, before records are risked on it."""
        try:
            await self._line.call("PING")
        except UnreachableError:
            return False
        except BrokerError:
            return True  # it answers; whether it lets us write shows when we do
        return True

    def _words(self, record: Record) -> tuple[bytes | str, ...]:
        return (*self._add, *(word.encode(errors="replace") for word in record))

    def _say_trouble(self, error: BrokerError) -> None:
        if not self._troubled:
            logger.warning(
                "Events are dropped, which no task notices; {} can't be written: {}",
                keys.EVENTS,
                error,
            )
        self._troubled = True

    def _say_well(self) -> None:
        if self._troubled:
            logger.info("Events are written again; {} were dropped", self.dropped)
        self._troubled = False


@asynccontextmanager
async def sending(sender: Sender) -> AsyncIterator[None]:
    """Send beside the block, and when it ends send the rest, within two seconds.

    A cancellation leaves no task and no connection behind.
    """
    task = asyncio.create_task(_send_all(sender), name="brain-events")
    try:
        yield
    finally:
        sender.stop()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=_LAST)
            sender.give_up()
            await asyncio.wait([task])
            await sender.aclose()
        task.result()


async def _send_all(sender: Sender) -> None:
    await sender.run()
    await sender.flush()
