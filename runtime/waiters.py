"""Waiting for keys without polling: one pub/sub connection for any number of waiters.

Whoever writes a key publishes on the channel of the same name afterwards. A waiter subscribes,
and when the server has confirmed that, looks whether the key is there already; from then on each
message is a reason to look again. So nothing falls between looking and listening, and the answer
is always what lies under the key: channels aren't parted by database number, keys are.

| if this happens | then |
|---|---|
| the connection drops, or falls silent | reconnect with backoff, subscribe to all, look at all |
| a waiter leaves (answer, time-out, cancellation) | the last one for a key unsubscribes |
| the server denies us the right to subscribe or read | all who wait get the error |
| the reader crashes, which is a bug | all who wait get its exception |
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from loguru import logger
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.errors import PoolError, QueueClosedError, RequestRefusedError
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.failures import describe, is_forbidden
from runtime.redis.links import Link, hang_up, open_link

_CHANNELS_AT_ONCE: Final = 500
# Values may be as large as a result may be, 1 MiB.
_KEYS_AT_ONCE: Final = 64


class Waiters:
    """Those who wait for keys on one server, in one event loop.

    The reader starts with the first waiter and runs until `aclose()`.

    Args:
        dial: makes a connection for the subscriptions, not yet open.
        fetch: returns the values of keys, None for each that isn't there.
        backoff: the pauses between attempts to reconnect.
        address: the server as shown to people.
        timeout: bound of opening the connection, and of its silence, in seconds.
    """

    def __init__(
        self,
        dial: Callable[[], Link],
        fetch: Callable[[Sequence[bytes]], Awaitable[Sequence[bytes | None]]],
        backoff: ReconnectBackoff,
        address: str,
        timeout: float = 5.0,
    ) -> None:
        self._dial = dial
        self._fetch = fetch
        self._backoff = backoff
        self._address = address
        self._timeout = timeout
        self._waiting: dict[bytes, set[asyncio.Future[bytes]]] = {}
        # Keys that may need another subscription than they have, and keys to look at.
        self._changed: set[bytes] = set()
        self._change = asyncio.Event()
        self._due: set[bytes] = set()
        self._look = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._trouble: str | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Waiters({self._address}, keys={len(self._waiting)}, trouble={self._trouble!r})"

    @property
    def trouble(self) -> str | None:
        """Why the server is out of reach, None if it is in reach as far as known."""
        return self._trouble

    async def wait(self, key: str) -> bytes:
        """Return the key's value, as soon as there is one.

        Cancelled, it leaves nothing behind: the last waiter for a key unsubscribes.

        Raises:
            RequestRefusedError: the server denies us the right to subscribe or read.
            QueueClosedError: `aclose()` was called.
        """
        if self._closed:
            raise QueueClosedError
        name = key.encode()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(answer)
        self._mark(name)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._run(), name="brain-result-reader")
        try:
            return await answer
        finally:
            if answer.done() and not answer.cancelled():
                answer.exception()  # cancelled in the same turn: nobody else will retrieve it
            others = self._waiting[name]
            others.discard(answer)
            if not others:
                del self._waiting[name]
                self._mark(name)

    async def aclose(self) -> None:
        """End the reader and its connection; whoever still waits gets `QueueClosedError`.

        Cancelled, it leaves a reader that is about to end.
        """
        self._closed = True
        self._fail_all(QueueClosedError)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    def _mark(self, key: bytes) -> None:
        self._changed.add(key)
        self._change.set()

    def _answer(self, key: bytes, value: bytes) -> None:
        for answer in self._waiting.get(key, ()):
            if not answer.done():
                answer.set_result(value)

    def _fail_all(self, make_error: Callable[[], Exception]) -> None:
        for answers in self._waiting.values():
            for answer in answers:
                if not answer.done():
                    answer.set_exception(make_error())

    async def _run(self) -> None:
        try:
            # A task group that fails in the turn in which it is cancelled raises the failure
            # alone, so a cancellation doesn't tell the end for sure.
            while not self._closed:
                await self._serve_once()
        except Exception as error:  # noqa: BLE001 - a bug of ours: who waits must hear, not hang
            logger.opt(exception=error).error("The reader of results has crashed")
            crash = error
            self._fail_all(lambda: crash)

    async def _serve_once(self) -> None:
        """Serve on one connection until it fails, then pause."""
        while not self._waiting:
            self._change.clear()
            await self._change.wait()
        link = self._dial()
        try:
            await open_link(link, self._timeout)
            await self._serve(link)
        except* (RedisError, OSError, PoolError) as failures:
            self._note(_first(failures))
        finally:
            await hang_up(link)
        pause = self._backoff.next()
        if not self._closed:
            await asyncio.sleep(pause)

    def _note(self, error: Exception) -> None:
        """Take in why the connection failed."""
        trouble = self._trouble = describe(error)
        if is_forbidden(error):
            self._fail_all(lambda: RequestRefusedError("tell results", self._address, trouble))
        elif self._backoff.worth_saying:
            logger.warning(
                "Waiting for results: the Redis server at {} is out of reach ({}), trying again",
                self._address,
                self._trouble,
            )

    def _in_reach(self) -> None:
        self._backoff.reset()
        if self._trouble is not None:
            self._trouble = None
            logger.info("Waiting for results: the Redis server at {} is back", self._address)

    async def _serve(self, link: Link) -> None:
        # A new connection has no subscription, and what was published meanwhile is gone.
        self._changed = set(self._waiting)
        self._due.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._subscribe(link))
            group.create_task(self._listen(link))
            group.create_task(self._look_up())

    async def _subscribe(self, link: Link) -> None:
        """Keep the subscriptions in step with who waits."""
        asked: set[bytes] = set()
        while True:
            self._change.clear()
            changed, self._changed = self._changed, set()
            wanted = {key for key in changed if key in self._waiting}
            # Asked for already, so no confirmation will come that makes us look for the new
            # waiter: the message may have come just before it.
            self._look_at(wanted & asked)
            await _send(link, b"UNSUBSCRIBE", (changed - wanted) & asked)
            await _send(link, b"SUBSCRIBE", wanted - asked)
            asked -= changed
            asked |= wanted
            await self._change.wait()

    async def _listen(self, link: Link) -> None:
        """Turn confirmations and messages into looks; notice a connection that fell silent."""
        asked = False
        while True:
            reply = await link.read_response(timeout=self._timeout)
            if reply is not None:
                asked = False
                self._hear(reply)
            elif asked:
                raise RedisTimeoutError("no reply to PING")
            elif self._waiting:
                asked = True
                await link.send_command(b"PING")

    def _hear(self, reply: Any) -> None:
        match reply:
            case [b"subscribe" | b"message", bytes(key), *_]:
                self._look_at({key})
            case _:
                pass  # of unsubscribing, or to a PING

    def _look_at(self, keys: set[bytes]) -> None:
        self._due |= keys
        if self._due:
            self._look.set()

    async def _look_up(self) -> None:
        """Look at the keys that are due, many at a time, and answer who waits for them."""
        while True:
            await self._look.wait()
            self._look.clear()
            due, self._due = self._due, set()
            for keys in _parts((key for key in due if key in self._waiting), _KEYS_AT_ONCE):
                for key, value in zip(keys, await self._fetch(keys), strict=True):
                    if value is not None:
                        self._answer(key, value)
                # Only now: a server that confirms and then fails each look isn't in reach.
                self._in_reach()


async def _send(link: Link, verb: bytes, keys: set[bytes]) -> None:
    for part in _parts(iter(keys), _CHANNELS_AT_ONCE):
        await link.send_command(verb, *part)


def _parts(keys: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while part := list(islice(keys, size)):
        yield part


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else PoolError(str(error))
