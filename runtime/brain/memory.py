"""What agents remember: earlier exchanges, found again by what they were about, in Qdrant.

With a `QDRANT_URL`, a server holds them. Without one, Qdrant's local mode does, in a directory that
all workers of a machine share: it lets one process in at a time, so it is opened for each use, in a
thread, behind a lock that the others wait for. That costs reading all of it each time, which suits
what is small.

There is one collection for each length of vector. Each entry says whose it is and which model
embedded it, and nothing is compared across either. Qdrant's client takes 0.7 s to import, so that
happens at the first use, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from runtime.brain.errors import BrainError
from runtime.brain.memory_entries import Exchange, Subject, from_point, others, to_point
from runtime.embedded.locks import FileLock
from runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from qdrant_client import AsyncQdrantClient

T = TypeVar("T")

NEAREST: Final = 3
"""How many earlier exchanges are recalled."""

TIMEOUT_S: Final = 5
"""Seconds that a Qdrant server has for an answer, and that the local directory is waited for."""

DIRECTORY: Final = Path(".brain") / "qdrant"

_LOCK_LOOK: Final = 0.02
_DEFAULT_PORT: Final = 6333


class MemoryUnavailableError(BrainError):
    """The memory can't be used just now.

    Attributes:
        why: What is wrong, in words.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"The memory can't be used: {why}.")
        self.why = why


def parse_url(url: str) -> str:
    """Return a `QDRANT_URL` with its port, which is 6333 unless it says another.

    Raises:
        ConfigurationError: It isn't the URL of a server.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query:
        came = "an address with a user in it" if "@" in url else repr(url)
        raise ConfigurationError(
            "QDRANT_URL", came, "http(s)://host:port, such as http://qdrant:6333"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}{parts.path.rstrip('/')}"


class Memory:
    """Stores and finds exchanges.

    Args:
        url: A `QDRANT_URL`; without one, Qdrant's local mode is used.
        directory: Where local mode keeps its files.

    Raises:
        ConfigurationError: The URL can't be read.
    """

    def __init__(self, url: str | None = None, directory: Path = DIRECTORY) -> None:
        self.url = parse_url(url) if url else None
        self._directory = directory
        self._client: AsyncQdrantClient | None = None
        self._making = Lock()

    def __repr__(self) -> str:
        return f"Memory({self.url or self._directory})"

    async def recall(self, subject: Subject) -> list[Exchange]:
        """Return the nearest earlier exchanges of an agent, oldest first, but for the task's own.

        Raises:
            MemoryUnavailableError: They can't be read; says why.
        """

        async def look(client: AsyncQdrantClient) -> list[Exchange]:
            if not await client.collection_exists(subject.collection):
                return []
            found = await client.query_points(
                subject.collection,
                query=subject.vector,
                query_filter=others(subject),
                limit=NEAREST,
                with_payload=True,
            )
            exchanges = [from_point(point) for point in found.points]
            return sorted(exchanges, key=lambda exchange: exchange.at)

        return await self._with_client(look)

    async def remember(self, subject: Subject, exchange: Exchange) -> None:
        """Store an exchange, in place of what the same task has stored before.

        Raises:
            MemoryUnavailableError: It can't be stored; says why.
        """

        async def store(client: AsyncQdrantClient) -> None:
            await _make_collection(client, subject)
            await client.upsert(subject.collection, [to_point(subject, exchange)], wait=True)

        await self._with_client(store)

    async def aclose(self) -> None:
        """Close the connections to a server; a later use opens new ones."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _with_client(self, work: Callable[[AsyncQdrantClient], Awaitable[T]]) -> T:
        """Do something with a client; a cancellation leaves local work to end by itself.

        Whatever Qdrant's client raises (of its own, of httpx, of SQLite, of the file system) means
        the same here: no memory.
        """
        try:
            client = await anyio.to_thread.run_sync(self._connectable)
            if client is None:
                # Local mode blocks, so it gets a thread, and an event loop to speak the same API.
                return await anyio.to_thread.run_sync(
                    lambda: asyncio.run(self._locally(work)), abandon_on_cancel=True
                )
            return await work(client)
        except MemoryUnavailableError:
            raise
        except Exception as error:
            raise MemoryUnavailableError(self._why(error)) from error

    def _connectable(self) -> AsyncQdrantClient | None:
        """Return the client of a server, if there is one; runs in a thread, for it takes long."""
        from qdrant_client import AsyncQdrantClient  # noqa: PLC0415 - dear to import

        with self._making:
            if self.url is not None and self._client is None:
                self._client = AsyncQdrantClient(
                    url=self.url, timeout=TIMEOUT_S, check_compatibility=False
                )
            return self._client

    async def _locally(self, work: Callable[[AsyncQdrantClient], Awaitable[T]]) -> T:
        with self._locked():
            async with _local_client(self._directory) as client:
                return await work(client)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes, and other threads of this one, out of the directory."""
        self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(self._directory.with_name(f"{self._directory.name}.lock"))
        deadline = time.monotonic() + TIMEOUT_S
        try:
            while not lock.try_exclusive():
                if time.monotonic() > deadline:
                    raise MemoryUnavailableError(
                        f"other workers kept {self._directory} busy for {TIMEOUT_S} s; "
                        "with QDRANT_URL they share a server"
                    )
                time.sleep(_LOCK_LOOK)
            yield
        finally:
            lock.close()

    def _why(self, error: Exception) -> str:
        where = f"Qdrant at {self.url}" if self.url else f"Qdrant's local mode in {self._directory}"
        if isinstance(error, ModuleNotFoundError):
            return f'the package {error.name} is missing (pip install "brain-worker-pool[brain]")'
        words = " ".join(str(error).split())[:300].rstrip(".")
        return f"{where}: {words or type(error).__name__}"


@asynccontextmanager
async def _local_client(directory: Path) -> AsyncIterator[AsyncQdrantClient]:
    from qdrant_client import AsyncQdrantClient  # noqa: PLC0415 - dear to import

    client = AsyncQdrantClient(path=str(directory))
    try:
        yield client
    finally:
        await client.close()


async def _make_collection(client: AsyncQdrantClient, subject: Subject) -> None:
    from qdrant_client.models import Distance, VectorParams  # noqa: PLC0415 - dear to import

    name = subject.collection
    if await client.collection_exists(name):
        return
    try:
        size = len(subject.vector)
        await client.create_collection(name, VectorParams(size=size, distance=Distance.COSINE))
    except Exception:
        # Another worker may have made it meanwhile.
        if not await client.collection_exists(name):
            raise
