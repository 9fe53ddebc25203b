"""A network between a worker and the in-memory broker: it loses replies, stalls and freezes."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from actors import (
    Look,
    Member,
    Orders,
    Promoted,
    Recovery,
    Recurring,
    Settled,
    Settlement,
    Taken,
    UnreachableError,
)
from runtime.memory import MemoryBroker
from runtime.memory.session import MemorySession

T = TypeVar("T")


@define(eq=False)
class Network:
    """What goes wrong between one worker and the server.

    Attributes:
        fails: decides by a call's name whether the server isn't reached at all.
        loses: decides by a call's name whether its reply is lost.
        breaks: what a call is to raise for a bug, by its name.
        delay: seconds that a call takes on its way, by its name.
        calls: the names of all calls, in order.
        renewals: when the lease was renewed.
        mute: whether renewals alone don't get through.
    """

    fails: Callable[[str], bool] = lambda _: False
    loses: Callable[[str], bool] = lambda _: False
    breaks: dict[str, Exception] = field(factory=dict)
    delay: Callable[[str], float] = lambda _: 0.0
    calls: list[str] = field(factory=list)
    renewals: list[float] = field(factory=list)
    mute: bool = False
    _thawed: anyio.Event | None = None

    @property
    def frozen(self) -> bool:
        """Whether nothing gets through now."""
        return self._thawed is not None

    def freeze(self) -> None:
        """Let nothing through, calls and renewals alike."""
        self._thawed = self._thawed or anyio.Event()

    def thaw(self) -> None:
        """Let everything through, what has waited first."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    async def there(self, name: str) -> None:
        """Bring a call to the server."""
        self.calls.append(name)
        await checkpoint()
        while self._thawed is not None:
            await self._thawed.wait()
        if name in self.breaks:
            raise self.breaks[name]
        if self.delay(name):
            await anyio.sleep(self.delay(name))
        if self.fails(name):
            raise UnreachableError(f"{name} didn't arrive")

    async def back(self, name: str, reply: T) -> T:
        """Bring a reply to the worker."""
        while self._thawed is not None:
            await self._thawed.wait()
        if self.loses(name):
            raise UnreachableError(f"the reply to {name} was lost")
        return reply


class FaultySession:
    """A session whose calls go through a network."""

    def __init__(self, inner: MemorySession, network: Network) -> None:
        self.inner = inner
        self.network = network
        self._renew = inner.renew
        # The session's own task calls it once a second.
        inner.renew = self._renew_if_reached  # type: ignore[method-assign]
        network.renewals.append(anyio.current_time())

    def _renew_if_reached(self) -> None:
        """Renew the lease, unless the worker is cut off."""
        if not self.network.frozen and not self.network.mute:
            self.network.renewals.append(anyio.current_time())
            self._renew()

    def fresh(self) -> bool:
        return self.inner.fresh()

    async def lapsed(self) -> None:
        await self.inner.lapsed()

    def verified(self) -> None:
        self.inner.verified()

    def wake(self) -> None:
        self.inner.wake()

    def cut(self) -> None:
        self.inner.cut()
        self.network.thaw()

    async def settle(self, queue: str, batch: Sequence[Settlement]) -> list[Settled]:
        """Settle, and send the batch again under its number until a reply comes."""
        while True:
            number = self.inner._batches[queue]
            try:
                await self.network.there("settle")
                answers = await self.inner.settle(queue, batch)
                return await self.network.back("settle", answers)
            except UnreachableError:
                self.inner._batches[queue] = number
                await anyio.sleep(0.05)

    async def take(self, queue: str, limit: int) -> Taken:
        return await self._call("take", self.inner.take, queue, limit)

    async def wait(self, queues: Sequence[str]) -> list[tuple[str, Taken]]:
        return await self._call("wait", self.inner.wait, queues)

    async def orders(self, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
        return await self._call("orders", self.inner.orders, queues, task_ids)

    async def held(self, queue: str) -> list[bytes]:
        return await self._call("held", self.inner.held, queue)

    async def release(
        self, queue: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes] = {}
    ) -> None:
        await self._call("release", self.inner.release, queue, raws, bodies)

    async def save(self, queue: str, raw: bytes, task_id: str, state: bytes) -> int:
        return await self._call("save", self.inner.save, queue, raw, task_id, state)

    async def saved(self, queue: str, task_id: str) -> tuple[int, bytes] | None:
        return await self._call("saved", self.inner.saved, queue, task_id)

    async def saved_numbers(self, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
        return await self._call("saved_numbers", self.inner.saved_numbers, queue, task_ids)

    async def report(
        self, progress: Mapping[str, bytes], over: Mapping[str, bytes], expires: float
    ) -> None:
        await self._call("report", self.inner.report, progress, over, expires)

    async def promote(self, queue: str, limit: int) -> Promoted:
        return await self._call("promote", self.inner.promote, queue, limit)

    async def beat(self, heartbeat: bytes, expires: float) -> None:
        await self._call("beat", self.inner.beat, heartbeat, expires)

    async def look(self, queue: str) -> Look:
        return await self._call("look", self.inner.look, queue)

    async def inflight(self, queue: str, holder: str) -> list[bytes]:
        return await self._call("inflight", self.inner.inflight, queue, holder)

    async def reclaim(
        self, queue: str, holder: str, pulse: str | None, recoveries: Sequence[Recovery]
    ) -> int:
        return await self._call("reclaim", self.inner.reclaim, queue, holder, pulse, recoveries)

    async def forget(self, queue: str, holder: str) -> None:
        await self._call("forget", self.inner.forget, queue, holder)

    async def recurring(self, queue: str, names: Sequence[str]) -> Recurring:
        return await self._call("recurring", self.inner.recurring, queue, names)

    async def fire(
        self, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
    ) -> bool:
        return await self._call("fire", self.inner.fire, queue, name, fired, upto, bodies)

    async def _call(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        await self.network.there(name)
        return await self.network.back(name, await call(*args))


class FaultyBroker:
    """Joins workers through networks of their own, found by the worker's id."""

    def __init__(self, inner: MemoryBroker) -> None:
        self.inner = inner
        self.networks: dict[str, Network] = {}

    def network(self, worker_id: str) -> Network:
        """Return the network of a worker, before or after it has joined."""
        return self.networks.setdefault(worker_id, Network())

    @asynccontextmanager
    async def join(self, member: Member) -> AsyncIterator[FaultySession]:
        network = self.network(member.worker_id)
        await network.there("join")
        async with self.inner.join(member) as session:
            yield FaultySession(session, network)
