"""A client of Ollama's HTTP API: chats as they are written, embeddings, and which models there are.

| answer | error |
|---|---|
| 404 that names the model | `ModelMissingError` |
| 400 | `OllamaRefusedError`: the request is at fault, in Ollama's words |
| no connection, silence, any other status, a broken stream | `OllamaError` |

Nothing is connected before the first request.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar

import httpx
import msgspec
from attrs import field, frozen

from runtime.brain import http
from runtime.brain.errors import BrainError
from runtime.brain.ollama_errors import (
    CONNECT_TIMEOUT_S,
    ModelMissingError,
    OllamaError,
    OllamaRefusedError,
    problem,
    shortened,
)
from runtime.brain.ollama_meter import Meter, measured
from runtime.brain.ollama_settings import (
    DEFAULT_EMBED_MODEL,
    DEFAULT_MODEL,
    parse_host,
    parse_model,
)

T = TypeVar("T")

SILENCE_S: Final = 300.0
"""Seconds without a byte after which an answer counts as lost; a model may have to be loaded."""

EMBED_SILENCE_S: Final = 60.0
_NANOSECONDS_IN_MS: Final = 1_000_000
_NOT_FOUND: Final = 404
_BAD_REQUEST: Final = 400


@frozen
class _Message:
    content: str = ""


@frozen
class Line:
    """One line of a streamed answer; the last one is `done` and has the figures.

    Attributes:
        message: A piece of the reply.
        model: The model that answers.
        done: Whether this is the end.
        done_reason: Why it ended: `stop`, or `length` where it was cut off.
        prompt_eval_count: Tokens of the prompt; None where Ollama had them evaluated before.
        eval_count: Tokens of the reply.
        total_duration: Nanoseconds of it all, as are the others.
        load_duration: Loading the model.
        prompt_eval_duration: Reading the prompt.
        eval_duration: Writing the reply.
        error: What went wrong in the middle.
    """

    message: _Message = field(factory=_Message)
    model: str = ""
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None
    error: str | None = None

    def durations_ms(self) -> dict[str, float | None]:
        """Return the durations in milliseconds, None where Ollama tells none."""
        found = {
            "total": self.total_duration,
            "load": self.load_duration,
            "prompt_eval": self.prompt_eval_duration,
            "eval": self.eval_duration,
        }
        return {
            name: None if value is None else round(value / _NANOSECONDS_IN_MS, 3)
            for name, value in found.items()
        }


@frozen
class _Embedded:
    embeddings: list[list[float]]


@frozen
class _Tag:
    name: str


@frozen
class _Tags:
    models: list[_Tag]


class Ollama:
    """One Ollama server, and the models that are used unless a task names others.

    Args:
        host: An `OLLAMA_HOST`; empty for Ollama's own default address.
        model: The model that chats.
        embed_model: The model that embeds what is remembered.
        silence: Seconds without a byte after which a chat's answer counts as lost.
        meter: What measures the requests, if anything does.

    Raises:
        ConfigurationError: `host` or the name of a model can't be read.
    """

    def __init__(
        self,
        host: str = "",
        *,
        model: str = DEFAULT_MODEL,
        embed_model: str = DEFAULT_EMBED_MODEL,
        silence: float = SILENCE_S,
        meter: Meter | None = None,
    ) -> None:
        self.configured = bool(host.strip())
        self.address = parse_host(host)
        self.model = parse_model("OLLAMA_MODEL", model)
        self.embed_model = parse_model("OLLAMA_EMBED_MODEL", embed_model)
        self._silence = silence
        self._meter = meter
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Ollama({self.address})"

    async def chat(
        self, model: str, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]
    ) -> AsyncGenerator[Line, None]:
        """Yield a reply as it is written; the last line is `done`.

        Close the iterator (`contextlib.aclosing`) or cancel it, and the connection is closed: that
        ends Ollama's work on it.

        Raises:
            ModelMissingError: The server doesn't have the model.
            OllamaRefusedError: The request is at fault.
            OllamaError: Anything else that kept the reply from coming to its end.
        """
        body = {"model": model, "messages": list(messages), "options": dict(options)}
        request = body | {"stream": True}
        async with (
            self._asked("/api/chat", request, self._silence, model) as response,
            aclosing(_lines(response)) as lines,
        ):
            async for raw in lines:
                line = self._read(raw, Line)
                if line.error is not None:
                    raise OllamaError(self.address, f"gave up: {shortened(line.error)}")
                if line.done and self._meter is not None:
                    self._meter.chatted(line.prompt_eval_count, line.eval_count)
                yield line
                if line.done:
                    return
            raise OllamaError(self.address, "broke off in the middle of its answer")

    async def embed(self, model: str, text: str) -> list[float]:
        """Return the vector of a text.

        Raises:
            ModelMissingError: The server doesn't have the model.
            OllamaRefusedError: The request is at fault; the model may be none that embeds.
            OllamaError: No vector came.
        """
        body = {"model": model, "input": [text]}
        async with self._asked("/api/embed", body, EMBED_SILENCE_S, model) as response:
            found = self._read(await response.aread(), _Embedded)
        vector = next(iter(found.embeddings), [])
        if not vector:
            raise OllamaError(self.address, f"returned no embedding with {model}")
        return vector

    async def models(self) -> list[str]:
        """Return the names of the models that the server has.

        Raises:
            OllamaError: It doesn't tell.
        """
        async with self._asked("/api/tags", None, self._silence, "") as response:
            found = self._read(await response.aread(), _Tags)
        return [tag.name for tag in found.models]

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    @asynccontextmanager
    async def _asked(
        self, path: str, body: Mapping[str, Any] | None, silence: float, model: str
    ) -> AsyncIterator[httpx.Response]:
        """Send a request and give its answer, if that is none of an error, still to be read."""
        method = "GET" if body is None else "POST"
        timeout = httpx.Timeout(silence, connect=CONNECT_TIMEOUT_S)
        client = self._opened()
        try:
            with measured(self._meter, path.rpartition("/")[2]):
                async with client.stream(
                    method, f"{self.address}{path}", json=body, timeout=timeout
                ) as response:
                    if response.is_success:
                        yield response
                    else:
                        raise self._error(response.status_code, await response.aread(), model)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OllamaError(self.address, problem(error, silence)) from error

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = http.client(self.address)
        return self._client

    def _error(self, status: int, body: bytes, model: str) -> BrainError:
        try:
            said = msgspec.json.decode(body, type=Line).error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            said = None
        if status == _NOT_FOUND and said is not None and "not found" in said and model:
            return ModelMissingError(model, self.address)
        if status == _BAD_REQUEST and said is not None:
            return OllamaRefusedError(shortened(said))
        words = f": {shortened(said)}" if said else ""
        return OllamaError(self.address, f"answered with status {status}{words}")

    def _read(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise OllamaError(self.address, "answered what isn't Ollama's") from None


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Yield the lines of NDJSON: parted by newlines alone, for a text may hold other breaks."""
    rest = b""
    async for piece in response.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest
