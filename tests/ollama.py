"""A stand-in for Ollama that speaks its documented HTTP protocol over a real socket.

`/api/chat` streams NDJSON, `/api/embed` counts letters, `/api/tags` and `/api/version` tell what is
there. What it does wrong, and when it waits, is a test's choice.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from attrs import define, field, frozen

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


@frozen
class Asked:
    """A request: its path and its body, None where there was none."""

    path: str
    body: dict[str, Any] | None


@define(eq=False)
class OllamaStandIn:
    """One server.

    Attributes:
        models: the models that it has.
        pieces: the reply, as it is streamed.
        hold: wait for this before the last piece.
        break_off: close the connection before the last piece, that many times.
        error_line: tell this error, in a line of the stream, before the last piece.
        failure: answer each request with this status and error.
        figures: what the last line tells.
        requests: what was asked, in order.
        gone: set when a client has closed its connection in the middle of an answer.
        port: where it listens.
    """

    models: list[str] = field(factory=lambda: ["qwen2.5:0.5b", "nomic-embed-text:latest"])
    pieces: list[str] = field(factory=lambda: ["Good ", "morning", "!"])
    hold: asyncio.Event | None = None
    break_off: int = 0
    error_line: str | None = None
    failure: tuple[int, str] | None = None
    figures: dict[str, Any] = field(
        factory=lambda: {
            "done_reason": "stop",
            "total_duration": 5_191_566_416,
            "load_duration": 2_154_458,
            "prompt_eval_count": 26,
            "prompt_eval_duration": 383_809_000,
            "eval_count": 298,
            "eval_duration": 4_799_921_000,
        }
    )
    requests: list[Asked] = field(factory=list)
    gone: asyncio.Event = field(factory=asyncio.Event)
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def chats(self) -> list[dict[str, Any]]:
        """Return the bodies of the chats that were asked for."""
        return [asked.body for asked in self.requests if asked.path == "/api/chat" and asked.body]

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while head := await read_head(reader):
                _, path, length = head
                await self._serve(path, length, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            # A callback of asyncio's server that is cancelled would be reported as an error.
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def aclose(self) -> None:
        """End all connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, path: str, length: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = json.loads(await reader.readexactly(length)) if length else None
        self.requests.append(Asked(path, body))
        if self.failure is not None:
            status, error = self.failure
            write_whole(writer, status, {"error": error})
        elif path == "/api/tags":
            write_whole(writer, 200, {"models": [{"name": name} for name in self.models]})
        elif path == "/api/version":
            write_whole(writer, 200, {"version": "0.12.0"})
        elif body is None or path not in ("/api/chat", "/api/embed"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found")
        elif not {body["model"], f"{body['model']}:latest"} & set(self.models):
            write_whole(writer, 404, {"error": f"model '{body['model']}' not found"})
        elif path == "/api/embed":
            vectors = [
                [float(text.lower().count(one)) for one in LETTERS] for text in body["input"]
            ]
            write_whole(writer, 200, {"model": body["model"], "embeddings": vectors})
        else:
            await self._stream(body["model"], reader, writer)
        await writer.drain()

    async def _stream(
        self, model: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        said = {"model": model, "created_at": "2026-02-17T10:30:00Z"}
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        *first, last = self.pieces
        for piece in first:
            _line(writer, said | _piece(piece) | {"done": False})
        await writer.drain()
        if self.hold is not None:
            await self._held(self.hold, reader)
        if self.break_off:
            self.break_off -= 1
            raise ConnectionResetError
        if self.error_line is not None:
            _line(writer, {"error": self.error_line})
        else:
            _line(writer, said | _piece(last) | {"done": False})
            _line(writer, said | _piece("") | {"done": True} | self.figures)
        writer.write(b"0\r\n\r\n")

    async def _held(self, hold: asyncio.Event, reader: asyncio.StreamReader) -> None:
        """Wait for the test's sign, or for the client to leave."""
        leaving = asyncio.ensure_future(reader.read(1))
        waiting = asyncio.ensure_future(hold.wait())
        try:
            await asyncio.wait({leaving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.gone.set()
                raise ConnectionResetError
        finally:
            leaving.cancel()
            waiting.cancel()
            await asyncio.wait({leaving, waiting})


async def read_head(reader: asyncio.StreamReader) -> tuple[str, str, int] | None:
    """Read the head of a request; return its method, path, and the length of its body."""
    try:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    except asyncio.IncompleteReadError:
        return None
    lengths = [line for line in lines if line.lower().startswith("content-length:")]
    method, path, _ = first.split()
    return method, path, int(lengths[0].partition(":")[2]) if lengths else 0


def _piece(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _line(writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
    body = json.dumps(said, ensure_ascii=False).encode() + b"\n"
    writer.write(b"%x\r\n%s\r\n" % (len(body), body))


def write_whole(writer: asyncio.StreamWriter, status: int, said: dict[str, Any]) -> None:
    """Write a whole answer."""
    body = json.dumps(said).encode()
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@contextlib.asynccontextmanager
async def ollama_stand_in() -> AsyncIterator[OllamaStandIn]:
    """Run a stand-in on a loopback port."""
    it = OllamaStandIn()
    server = await asyncio.start_server(it.accept, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield it
            # Connections that are still open would keep the server from ending.
            await it.aclose()
    finally:
        await it.aclose()
