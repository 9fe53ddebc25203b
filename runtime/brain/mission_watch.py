"""Hears how delegated missions end, and has their agents freed.

One watch runs in each worker that serves BRAiN's handlers, beside the worker: what goes wrong here
is logged and tried again, and never ends it. Every answer is published on its task's own channel
too, so the watch subscribes to the channels of missions alone (one pattern): other answers cost a
worker nothing, and the server one comparison each.

All watches hear each mission. The one that removes the mission's key (`GETDEL`), which names the
agent, frees it: one small command per watch and mission, one transaction per mission. A watch that
dies in between, a lost connection, a database out of reach: in each case the answer still lies at
the server, for an hour, and a later look finds it. Looks are taken when the subscription stands,
every 30 s, soon after a failure, and at the end; of all watches one looks at a time, at most every
2 s.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
from attrs import frozen
from loguru import logger
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import SQLAlchemyError

from runtime.brain import missions
from runtime.brain.errors import BrainError
from runtime.brain.identity import MISSION_PREFIX
from runtime.brain.services import Services
from runtime.redis import keys
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import describe
from runtime.redis.links import Link, hang_up, open_link

PATTERN: Final = keys.result(f"{MISSION_PREFIX}*")
"""The channels of the answers of delegated missions."""

_ALONE_MS: Final = 2_000
"""Milliseconds for which a look keeps other watches from looking."""

_LAST_S: Final = 5.0
"""Seconds that the look at the end may take."""

_AGAIN_S: Final = 0.1
"""Seconds after which a watch that was cancelled and goes on is cancelled again."""

_LEAST_S: Final = 0.01
"""Seconds for which a message is waited for at least."""

_FAILURES: Final = (RedisError, SQLAlchemyError, BrainError, OSError)


@frozen
class Pace:
    """How often a watch looks, in seconds.

    Attributes:
        look: from one look to the next.
        again: from a failure to the next look.
        silence: for which the connection may say nothing before it is asked whether it lives.
    """

    look: float = 30.0
    again: float = 3.0
    silence: float = 5.0


class MissionWatch:
    """The watch of one worker, on asyncio.

    Args:
        services: the database and Redis.
        dial: makes a connection for the subscription, not yet open.
        backoff: the pauses between attempts to reconnect.
        pace: how often it looks.
    """

    def __init__(
        self,
        services: Services,
        dial: Callable[[], Link],
        backoff: ReconnectBackoff,
        pace: Pace = Pace(),
    ) -> None:
        self._services = services
        self._dial = dial
        self._backoff = backoff
        self._pace = pace
        self._due = 0.0
        self._trouble = False

    async def run(self) -> None:
        """Watch until cancelled; what a cancellation interrupts is found by a later look."""
        while True:
            link = self._dial()
            try:
                await open_link(link, self._pace.silence)
                await link.send_command("PSUBSCRIBE", PATTERN)
                await self._listen(link)
            except (RedisError, OSError) as error:
                self._say_lost(error)
            except Exception as error:  # noqa: BLE001 - a bug of ours: the worker goes on without
                logger.opt(exception=error).error("The watch over missions has failed")
            finally:
                await hang_up(link)
            # Without a subscription too, for it may be denied for good.
            await self._look_if_due()
            await asyncio.sleep(self._backoff.next())

    async def look(self) -> None:
        """Free agents whose missions ended unheard, and say so; what fails is due again soon.

        A cancellation leaves the rest to the next look.
        """
        self._due = anyio.current_time() + self._pace.look
        with self._forgiving():
            for finding in await missions.mend(self._services):
                logger.info("{}", finding)
            self._trouble = False

    async def _look_if_due(self) -> None:
        """Look if it is time and nobody else is at it."""
        if anyio.current_time() < self._due:
            return
        # Who has missed something comes again soon: the one who looks now may fail as well.
        pause = self._pace.again if self._trouble else self._pace.look
        self._due = anyio.current_time() + pause
        alone = False
        with self._forgiving():
            claim = await self._services.redis.set(keys.MISSION_LOOK, "1", nx=True, px=_ALONE_MS)
            alone = claim is not None
        if alone:
            await self.look()

    async def _listen(self, link: Link) -> None:
        """Take what is published; look when it is time; notice a connection that fell silent."""
        asked = False
        while True:
            wait = min(self._pace.silence, self._due - anyio.current_time())
            reply = await link.read_response(timeout=max(_LEAST_S, wait))
            await self._look_if_due()
            if reply is not None:
                asked = False
                await self._hear(reply)
            elif wait < self._pace.silence:
                pass  # it was time for a look
            elif asked:
                raise RedisTimeoutError("no reply to PING")
            else:
                asked = True
                await link.send_command("PING")

    async def _hear(self, reply: Any) -> None:
        match reply:
            case [b"psubscribe", *_]:
                # From here on nothing is missed: what was published before is looked for.
                self._backoff.reset()
                self._due = 0.0
                await self._look_if_due()
            case [b"pmessage", _, bytes(channel), bytes(answer)]:
                with self._forgiving():
                    await self._end(channel, answer)
            case _:
                pass  # to a PING

    async def _end(self, channel: bytes, answer: bytes) -> None:
        """Free the agent of a mission, unless another watch does."""
        prefix, _, suffix = keys.result("*").partition("*")
        mission_id = channel.decode().removeprefix(prefix).removesuffix(suffix)
        row_id = await self._services.redis.getdel(keys.mission_agent(mission_id))
        if isinstance(row_id, bytes):
            ending = missions.read_ending(answer)
            await missions.free(self._services, row_id.decode(), mission_id, ending)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Let a failure of the servers pass; say so once, until a look has succeeded."""
        try:
            yield
        except _FAILURES as error:
            self._due = anyio.current_time() + self._pace.again
            if not self._trouble:
                why = str(error).split("\n", maxsplit=1)[0]
                logger.warning("Agents whose missions ended aren't freed yet: {}", why)
            self._trouble = True

    def _say_lost(self, error: Exception) -> None:
        if self._backoff.worth_saying:
            logger.warning("The watch over missions has lost the Redis server: {}", describe(error))


@asynccontextmanager
async def watching(watch: MissionWatch) -> AsyncIterator[None]:
    """Run a watch beside the block, and look once more when it ends.

    A cancellation leaves no task behind; what wasn't freed, another watch's look finds.
    """
    task = asyncio.create_task(watch.run(), name="brain-mission-watch")
    try:
        yield
    finally:
        while not task.done():
            # Again and again: redis-py can swallow a cancellation.
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN_S)
        with anyio.move_on_after(_LAST_S):
            await watch.look()
