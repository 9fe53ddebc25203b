"""A stand-in for a Qdrant server: the part of its REST protocol that a memory needs, over a socket.

What it stores, it stores with Qdrant's own local mode.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field
from qdrant_client import AsyncQdrantClient
from qdrant_client.models import CreateCollection, PointsList, QueryRequest

from tests.ollama import read_head, write_whole


@define(eq=False)
class QdrantStandIn:
    """One server.

    Attributes:
        requests: what was asked, as method and path.
        open: connections that are open.
        port: where it listens.
    """

    requests: list[str] = field(factory=list)
    open: int = 0
    port: int = 0
    _store: AsyncQdrantClient = field(factory=lambda: AsyncQdrantClient(":memory:"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            while head := await read_head(reader):
                method, target, length = head
                body = json.loads(await reader.readexactly(length)) if length else {}
                path = urlsplit(target).path
                self.requests.append(f"{method} {path}")
                try:
                    found = await self._answer(method, path.strip("/").split("/"), body)
                except ValueError as error:
                    write_whole(writer, 409, {"status": {"error": str(error)}, "time": 0.0})
                else:
                    write_whole(writer, 200, {"result": found, "status": "ok", "time": 0.0})
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, method: str, path: list[str], body: dict[str, Any]) -> Any:
        match method, path:
            case "GET", [""]:
                return {"title": "qdrant - vector search engine", "version": "1.20.0"}
            case "GET", ["collections", name, "exists"]:
                return {"exists": await self._store.collection_exists(name)}
            case "PUT", ["collections", name]:
                made = CreateCollection(**body)
                return await self._store.create_collection(name, made.vectors)
            case "PUT", ["collections", name, "points"]:
                await self._store.upsert(name, PointsList(**body).points)
                return {"operation_id": 1, "status": "completed"}
            case "POST", ["collections", name, "points", "query"]:
                asked = QueryRequest(**body)
                found = await self._store.query_points(
                    name, query=asked.query, query_filter=asked.filter, limit=asked.limit or 10
                )
                return json.loads(found.model_dump_json())
            case _:
                raise ValueError(f"{method} {path} isn't spoken here")

    async def aclose(self) -> None:
        """End the store."""
        await self._store.close()


@contextlib.asynccontextmanager
async def qdrant_stand_in() -> AsyncIterator[QdrantStandIn]:
    """Run a stand-in on a loopback port."""
    it = QdrantStandIn()
    server = await asyncio.start_server(it.accept, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield it
    finally:
        await it.aclose()
