"""The brokers that must pass the same tests, each with a side door to look at what it keeps."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from attrs import frozen
from trio.testing import MockClock

from actors import Broker, Member
from runtime.memory import MemoryBroker
from runtime.redis.broker import RedisBroker, RedisSettings
from tests.brokers.sides import MemorySide, Names, QueueView, RealSide, Snapshot
from tests.servers import Valkey

KINDS: Final = ("memory on asyncio", "memory on trio", "redis on asyncio")


@frozen(eq=False)
class Rig:
    """A broker under test.

    Attributes:
        broker: through which members join.
        side: looks at what it keeps, and plays other workers.
        names: what may occur.
        url: of the server, if there is one.
    """

    broker: Broker
    side: MemorySide | RealSide
    names: Names
    url: str | None = None

    def member(
        self, holder: str = "w#1", slots: int = 2, queues: tuple[str, ...] = ("q",)
    ) -> Member:
        """Return a member whose keys are known."""
        worker_id = holder.partition("#")[0]
        self.names.holders.append(holder)
        if worker_id not in self.names.worker_ids:
            self.names.worker_ids.append(worker_id)
        return Member(worker_id, holder, slots, queues)

    async def push(self, *raws: bytes, queue: str = "q") -> None:
        """Push bodies as a producer does."""
        for raw in raws:
            if isinstance(self.broker, MemoryBroker):
                await self.broker.push_raw(queue, raw)
            else:
                self.side.push(queue, raw)

    def ghost(self, raws: Sequence[bytes], slots: int = 2, holder: str = "ghost#1") -> str:
        """Leave tasks behind as a worker that died does; return its lease."""
        self.names.holders.append(holder)
        self.side.renew("q", holder, 7, slots)
        for raw in raws:
            self.side.push("q", raw)
            self.side.move("q", holder)
        return f"7 {slots}"

    def bounded(self, kept: int) -> Broker:
        """Return a broker of the same tasks that keeps so many dead letters of a queue."""
        if isinstance(self.broker, MemoryBroker):
            self.broker.store.dead_letters_kept = kept
            return self.broker
        assert self.url is not None
        return RedisBroker(self.url, RedisSettings(dead_letters_kept=kept))

    def seen(self) -> Snapshot:
        """Return all that the broker keeps."""
        return self.side.snapshot()

    def view(self, queue: str = "q") -> QueueView:
        """Return what lies beside a queue."""
        return self.seen().queues[queue]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which broker, on which event loop."""
    return str(request.param)


@pytest.fixture
def anyio_backend(kind: str) -> tuple[str, dict[str, Any]]:
    """On trio, time passes when all wait."""
    if "trio" in kind:
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {}


@pytest.fixture
def rig(kind: str, valkey_server: Valkey) -> Iterator[Rig]:
    """A broker with nothing in it."""
    names = Names(("q", "p"), [f"t{number}" for number in range(10)])
    if "memory" in kind:
        broker = MemoryBroker()
        yield Rig(broker, MemorySide(names, broker.store), names)
    else:
        yield from real_rig(valkey_server, names)


def real_rig(server: Valkey, names: Names) -> Iterator[Rig]:
    """Return a rig with a real server."""
    server.reset()
    side = RealSide(server, names)
    try:
        yield Rig(RedisBroker(server.unix_url), side, names, server.unix_url)
    finally:
        side.close()
