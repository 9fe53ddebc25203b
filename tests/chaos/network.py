"""A bad network between workers and their server: cuts, also in the middle of replies; freezes."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_CHUNK = 65_536


class Gateway:
    """A loopback port that leads to a server's Unix socket.

    Attributes:
        port: where it listens.
        cut_rate: the chance that a piece of traffic, in either direction, is the connection's
            last: only a random part of it arrives.
        cuts: connections that were cut.
    """

    def __init__(self, path: Path, chance: random.Random, loop: asyncio.AbstractEventLoop) -> None:
        self.port = 0
        self.cut_rate = 0.0
        self.cuts = 0
        self._path = path
        self._chance = chance
        self._loop = loop
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's URL through this gateway."""
        return f"redis://127.0.0.1:{self.port}/0"

    def freeze(self) -> None:
        """Hold back all bytes in both directions from now on; connections are still accepted."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def thaw(self) -> None:
        """Deliver what was held back, even if its sender has hung up meanwhile."""
        self._loop.call_soon_threadsafe(self._open.set)

    async def listen(self) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all connections."""
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._path)
        try:
            pumps = {
                asyncio.create_task(self._pump(reader, back)),
                asyncio.create_task(self._pump(there, writer)),
            }
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            # What was delivered last must reach the server before the end of the connection.
            back.close()
            with contextlib.suppress(OSError):
                await back.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                if self._chance.random() < self.cut_rate:
                    self.cuts += 1
                    writer.write(data[: self._chance.randrange(len(data) + 1)])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()


class Network:
    """An event loop in a thread of its own, on which gateways live."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network")
        self._gateways: list[Gateway] = []

    def gateway(self) -> Gateway:
        """Open a gateway."""
        gateway = Gateway(self._path, self._chance, self._loop)
        self._do(gateway.listen)
        self._gateways.append(gateway)
        return gateway

    def _do(self, what: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(30)  # type: ignore[arg-type] # an async method

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End all connections and the thread."""
        for gateway in self._gateways:
            self._do(gateway.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@contextlib.contextmanager
def bad_network(path: Path, seed: int) -> Iterator[Network]:
    """Run a network to the server at a Unix socket."""
    network = Network(path, seed)
    network.start()
    try:
        yield network
    finally:
        network.close()
