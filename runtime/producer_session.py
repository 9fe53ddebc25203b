"""What an open `TaskQueue` holds: its connections and those who wait on them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from attrs import frozen
from loguru import logger
from redis.exceptions import NoPermissionError, RedisError

from runtime.errors import (
    ConfigurationError,
    PushUncertainError,
    RequestRefusedError,
    ServerUnreachableError,
)
from runtime.outgoing import Entry, batches
from runtime.redis import producer_scripts, scripts
from runtime.redis.address import parse_url
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import dialer
from runtime.redis.failures import describe, is_reply
from runtime.redis.links import Link, Links
from runtime.waiters import Waiters

T = TypeVar("T")


@frozen(eq=False)
class Session:
    """Connections of one event loop to one server, for a producer.

    Attributes:
        address: the server as shown to people.
        links: connections for commands.
        waiters: who waits for results, on a connection of its own.
    """

    address: str
    links: Links
    waiters: Waiters

    async def aclose(self) -> None:
        """Close everything; cancelled, it leaves the rest to the event loop."""
        await self.waiters.aclose()
        await self.links.aclose()

    async def ask(self, request: str, *words: str) -> Any:
        """Do an exchange that only reads, and name what goes wrong.

        Args:
            request: what is asked, as it stands behind "the server refused to".
            words: the command.

        Raises:
            ServerUnreachableError: the connection failed.
            RequestRefusedError: the server answered with an error.
        """
        try:
            return await self.links.call(*words)
        except (RedisError, TimeoutError) as error:
            why = describe(error)
            if is_reply(error):
                raise RequestRefusedError(request, self.address, why) from error
            raise ServerUnreachableError(self.address, why) from error

    async def run(self, request: str, work: scripts.Work[T]) -> T:
        """Make calls that only read, or that may be made again, and name what goes wrong.

        Args:
            request: what is asked, as it stands behind "the server refused to".
            work: makes the calls.

        Raises:
            ServerUnreachableError: the connection failed; what was asked may have been done.
            RequestRefusedError: the server answered with an error.
        """
        try:
            async with self.links.borrow() as link:
                return await work(partial(self.links.exchange, link))
        except (RedisError, TimeoutError) as error:
            why = describe(error)
            if is_reply(error):
                raise RequestRefusedError(request, self.address, why) from error
            raise ServerUnreachableError(self.address, why) from error

    async def push(self, queue: str, entries: Iterable[Entry]) -> None:
        """Append entries to a queue, batch by batch, in order.

        Raises:
            ServerUnreachableError: no connection; nothing was sent.
            RequestRefusedError: the server refused a batch.
            PushUncertainError: the connection failed in the middle of a batch.
        """
        queued: list[str] = []
        # One connection for all batches: what fails after the first is on the wire.
        async with self.links.borrow() as link:
            for batch in batches(entries):
                await self._push_batch(link, queue, batch, tuple(queued))
                queued += [entry.task_id for entry in batch]

    async def delay(
        self, queue: str, entry: Entry, after: float | None, at: datetime | None
    ) -> None:
        """Put a task among a queue's delayed ones.

        Args:
            queue: where it goes when it is due.
            entry: the task; another body than any that waits there.
            after: seconds from now by the server's clock, or None.
            at: the moment, or None; one of both is given.

        Raises:
            ServerUnreachableError: no connection; nothing was sent.
            RequestRefusedError: the server refused it.
            PushUncertainError: the connection failed meanwhile.
        """
        async with self.links.borrow() as link:
            with self._naming(f"delay a task of {queue}", queue, (entry.task_id,), ()):
                await producer_scripts.delay(
                    partial(self.links.exchange, link), queue, entry.body, after, at
                )

    async def push_unique(
        self,
        queue: str,
        entry: Entry,
        unique_for: float,
        after: float | None,
        at: datetime | None,
    ) -> bool:
        """Push a task unless one of its id was pushed not long ago; return whether it was pushed.

        Args:
            queue: where it goes, now or when it is due.
            entry: the task.
            unique_for: seconds for which another push of its id is none.
            after: see `delay`; None with `at` None for a task that doesn't wait.
            at: likewise.

        Raises:
            ServerUnreachableError: no connection; nothing was sent.
            RequestRefusedError: the server refused it.
            PushUncertainError: the connection failed meanwhile.
        """
        async with self.links.borrow() as link:
            with self._naming(f"queue a task on {queue}", queue, (entry.task_id,), ()):
                call = partial(self.links.exchange, link)
                return await producer_scripts.push_unique(
                    call, queue, entry.task_id, entry.body, unique_for, after, at
                )

    async def requeue(self, queue: str, items: Sequence[tuple[str, bytes, str | None]]) -> int:
        """Send dead letters again; see `runtime.redis.producer_scripts.requeue`.

        Raises:
            ServerUnreachableError: no connection; nothing was sent.
            RequestRefusedError: the server refused it.
            PushUncertainError: the connection failed meanwhile.
        """
        task_ids = tuple(task_id or entry for entry, _, task_id in items)
        async with self.links.borrow() as link:
            with self._naming(f"queue dead letters of {queue}", queue, task_ids, ()):
                call = partial(self.links.exchange, link)
                return await producer_scripts.requeue(call, queue, items)

    async def _push_batch(
        self, link: Link, queue: str, batch: list[Entry], queued: tuple[str, ...]
    ) -> None:
        task_ids = tuple(entry.task_id for entry in batch)
        with self._naming(f"queue tasks on {queue}", queue, task_ids, queued):
            await self.links.exchange(link, "RPUSH", queue, *(entry.body for entry in batch))

    @contextmanager
    def _naming(
        self, request: str, queue: str, task_ids: tuple[str, ...], queued: tuple[str, ...]
    ) -> Iterator[None]:
        """Name what goes wrong with a push that is on the wire."""
        try:
            yield
        except (RedisError, TimeoutError) as error:
            why = describe(error)
            if is_reply(error):
                raise RequestRefusedError(request, self.address, why, queued) from error
            raise PushUncertainError(task_ids, queue, self.address, why, queued) from error


async def open_session(url: str | None, timeout: float, draw: Callable[[], float]) -> Session:  # noqa: ASYNC109 - of each exchange to come
    """Connect and log in; cancelled, it leaves no connection behind.

    Args:
        url: a REDIS_URL; None or empty where there is none.
        timeout: bound of opening a connection, and of each exchange, in seconds.
        draw: a random number from 0 up to 1.

    Raises:
        ConfigurationError: the URL is wrong or missing.
        ServerUnreachableError: the server isn't there, or doesn't let us in.
    """
    if not url:
        expected = "the server's URL there or as TaskQueue(url), such as redis://localhost:6379/0"
        raise ConfigurationError("REDIS_URL", "not set", expected)
    address = parse_url(url)
    if address.ignored:
        names = ", ".join(address.ignored)
        logger.warning("REDIS_URL: these options have no effect, the pool decides them: {}", names)
    dial = dialer(address)
    links = Links(dial, str(address), timeout=timeout)

    async def fetch(keys: Sequence[bytes]) -> list[bytes | None]:
        return list(await links.call("MGET", *keys))

    waiters = Waiters(dial, fetch, ReconnectBackoff(draw), str(address), timeout)
    session = Session(str(address), links, waiters)
    try:
        await _greet(session)
    except BaseException:
        await session.aclose()
        raise
    return session


async def _greet(session: Session) -> None:
    """Find out now, not at the first push, whether the server lets us in."""
    try:
        await session.links.call("PING")
    except NoPermissionError:
        return  # it knows who we are; what we may do shows when we do it
    except (RedisError, TimeoutError) as error:
        raise ServerUnreachableError(session.address, describe(error)) from error
