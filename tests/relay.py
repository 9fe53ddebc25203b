"""A relay between a client and a Valkey server that fails on command: cuts, silence, TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path


class Relay:
    """Passes bytes between loopback connections and the server's Unix socket.

    Attributes:
        cut_before: cut a connection instead of passing on a request that holds these bytes.
        cut_after: pass such a request on, wait for the reply, and cut instead of returning it.
    """

    def __init__(self, path: Path, upgrade: ssl.SSLContext | None = None) -> None:
        self._upgrade = upgrade
        self.cut_before: bytes | None = None
        self.cut_after: bytes | None = None
        self.port = 0
        self._answered = asyncio.Event()
        self._path = path
        self._silent: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def fall_silent(self) -> None:
        """Pass nothing on any more on the connections that exist."""
        self._silent |= self._tasks

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        if self._upgrade is not None and not await _upgraded(reader, writer, self._upgrade):
            self._tasks.discard(task)
            self._writers.discard(writer)
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._path)
        back = asyncio.create_task(self._back(task, server_reader, writer))
        try:
            while data := await reader.read(65536):
                if task in self._silent:
                    continue
                if self.cut_before is not None and self.cut_before in data:
                    break
                cut = self.cut_after is not None and self.cut_after in data
                if cut:
                    self._silent.add(task)
                server_writer.write(data)
                if cut:
                    await self._answered.wait()
                    break
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            back.cancel()
            for end in (writer, server_writer):
                end.close()
            await asyncio.wait({back})

    async def _back(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if task not in self._silent:
                    writer.write(data)
                elif self.cut_after is not None:
                    self._answered.set()
            writer.close()

    async def aclose(self) -> None:
        """End all connections."""
        # Not by cancelling: asyncio reports a cancelled server callback as an error.
        tasks = list(self._tasks)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)


_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's SSLRequest: the length of the message, and the number that stands for it."""


async def _upgraded(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext
) -> bool:
    """Do as a PostgreSQL server that speaks TLS: answer the request, then shake hands."""
    try:
        assert await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST
        writer.write(b"S")
        await writer.start_tls(tls)
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()
        return False
    return True


@contextlib.asynccontextmanager
async def relay(
    path: Path, tls: ssl.SSLContext | None = None, upgrade: ssl.SSLContext | None = None
) -> AsyncIterator[Relay]:
    """Run a relay to the server at a Unix socket, on a loopback port.

    Args:
        path: the socket.
        tls: what TLS begins with, from the first byte on.
        upgrade: likewise, once a client asks for it as PostgreSQL's clients do.
    """
    it = Relay(path, upgrade)
    server = await asyncio.start_server(it.accept, "127.0.0.1", 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield it
    finally:
        await it.aclose()
