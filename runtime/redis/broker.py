"""The Redis broker: joins workers to a Redis or Valkey server."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
from attrs import field, frozen
from attrs.validators import ge
from loguru import logger
from redis.exceptions import NoPermissionError, RedisError

from actors import Member
from runtime.errors import ConfigurationError, ServerRefusedError, ServerUnreachableError
from runtime.loop_watch import LoopWatch, StallLimits
from runtime.redis import rights, scripts
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import async_client, dialer, parse_url, sync_client
from runtime.redis.failures import describe, is_final
from runtime.redis.lease import Lease, LeaseThread, LeaseTiming
from runtime.redis.line import Line, WaitingLine, Words
from runtime.redis.links import hang_up, open_link
from runtime.redis.meter import Meter
from runtime.redis.server_checks import check_server
from runtime.redis.session import Lines, RedisSession

_CALL: Final = 4.0
"""Seconds that a short call may take."""

_LEAVING: Final = 3.0
"""Seconds that leaving may take, the end of the lease thread included."""


@frozen
class RedisSettings:
    """Figures of the broker, in seconds.

    Attributes:
        connect_timeout: how long joining waits for a server that is out of reach; None for ever.
        lease: of the renewal.
        stall: when an event loop that doesn't turn is reported, and when its lease is given up.
        dead_letters_kept: of a queue; more make room for newer ones.
        also_needed: commands that the handlers send themselves: a server that forbids one of them
            is refused at the start, like one that forbids the worker's own.
    """

    connect_timeout: float | None = None
    lease: LeaseTiming = field(factory=LeaseTiming)
    stall: StallLimits = field(factory=StallLimits)
    dead_letters_kept: int = field(default=scripts.DEAD_LETTERS_KEPT, validator=ge(1))
    also_needed: tuple[Words, ...] = ()


class RedisBroker:
    """See `actors.Broker`. Needs the asyncio backend, for redis-py does.

    Args:
        url: a REDIS_URL.
        settings: figures.
        meter: what measures the calls, the lease and the event loop, if anything does.

    Raises:
        ConfigurationError: the URL is wrong.
    """

    def __init__(
        self, url: str, settings: RedisSettings | None = None, *, meter: Meter | None = None
    ) -> None:
        self._address = parse_url(url)
        self._meter = meter
        self._settings = settings or RedisSettings()

    def __repr__(self) -> str:
        return f"RedisBroker({self._address})"

    @asynccontextmanager
    async def join(self, member: Member) -> AsyncIterator[RedisSession]:
        """Enter with a lease on each of the member's queues.

        Waits for a server that is out of reach, saying so at growing intervals. A cancellation
        while joining leaves no lease behind that isn't left to lapse.

        Raises:
            ServerUnreachableError: it stayed out of reach for `connect_timeout`.
            ServerRefusedError: it can't carry the pool.
            ConfigurationError: the event loop isn't asyncio's.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "the event loop", "not asyncio's", "asyncio, which the Redis broker needs"
            ) from None
        await self._wait_for_server(member.queues)
        lease = Lease(self._settings.lease)
        lines = self._open_lines(member)
        session = RedisSession(member, lines, lease, self._settings.dead_letters_kept)
        watch = LoopWatch(self._settings.stall, member.running)

        def lapsed() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(session.note_lapse)

        client = sync_client(self._address, socket_timeout=self._settings.lease.timeout)
        thread = LeaseThread(
            client,
            member.queues,
            member.holder,
            member.slots,
            lease,
            self._settings.lease,
            watch,
            lapsed,
        )
        try:
            await self._begin(thread)
            if self._meter is not None:
                self._meter.joined(lease, watch)
            thread.start()
            async with anyio.create_task_group() as helpers:
                helpers.start_soon(session.unblock_when_woken)
                try:
                    yield session
                finally:
                    with anyio.move_on_after(_LEAVING, shield=True):
                        # First the thread: a renewal after the leaving would bring the lease back.
                        if await anyio.to_thread.run_sync(thread.end, _LEAVING / 2):
                            await session.leave()
                    helpers.cancel_scope.cancel()
        finally:
            thread.end(0)
            watch.close()
            for line in lines.all():
                await line.aclose()

    def _open_lines(self, member: Member) -> Lines:
        name = "brain-worker:" + "".join(
            letter if letter.isascii() and letter.isprintable() and letter != " " else "_"
            for letter in member.worker_id
        )
        dial = dialer(self._address, client_name=name)
        address = str(self._address)
        # One backoff for all: they lead to one server.
        backoff = ReconnectBackoff(random.random)
        line = partial(Line, dial, _CALL, backoff, address, meter=self._meter)
        wait = partial(WaitingLine, dial, _CALL, backoff, address, meter=self._meter)
        waits = {queue: wait() for queue in member.queues}
        return Lines(take=line(), settle=line(), rest=line(), notes=line(), waits=waits)

    async def _wait_for_server(self, queues: Sequence[str]) -> None:
        """Connect for the first time, and look at what the server is."""
        backoff = ReconnectBackoff(random.random, base=0.2, cap=5.0)
        timeout = self._settings.connect_timeout
        deadline = anyio.current_time() + timeout if timeout is not None else float("inf")
        while True:
            try:
                warnings = await self._check(queues)
            except (RedisError, OSError) as error:
                if is_final(error):
                    raise ServerRefusedError(describe(error)) from None
                if anyio.current_time() >= deadline:
                    raise ServerUnreachableError(str(self._address), describe(error)) from None
                pause = backoff.next()
                if backoff.worth_saying:
                    logger.warning(
                        "Waiting for the Redis server at {}: {}", self._address, describe(error)
                    )
                await anyio.sleep(min(pause, max(0.0, deadline - anyio.current_time())))
            else:
                for warning in warnings:
                    logger.warning("{}", warning)
                return

    async def _check(self, queues: Sequence[str]) -> list[str]:
        client = async_client(self._address, single_connection=True)
        try:
            warnings = await check_server(client)
        finally:
            await client.aclose()
        return warnings + await self._check_rights(queues)

    async def _check_rights(self, queues: Sequence[str]) -> list[str]:
        """Find out now what is forbidden, not when a task needs it."""
        link = dialer(self._address, client_name="brain-worker-check")()
        try:
            await open_link(link, _CALL)
            needed = (*rights.of_worker(queues), *self._settings.also_needed)
            with anyio.fail_after(_CALL):
                denied = await rights.denied(link, needed)
        except NoPermissionError as error:
            if not link.is_connected:
                raise
            return [rights.unchecked(error)]
        finally:
            await hang_up(link)
        if denied != rights.Denied():
            raise ServerRefusedError(str(denied))
        return []

    async def _begin(self, thread: LeaseThread) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(thread.begin)
            except (RedisError, OSError) as error:
                logger.warning("Taking out the lease failed: {}", describe(error))
                await anyio.sleep(0.5)
            else:
                return
