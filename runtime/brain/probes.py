"""Asks the servers that BRAiN lives on whether they answer, and how fast."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
from attrs import frozen
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from runtime.brain import http
from runtime.brain.errors import BrainError
from runtime.brain.ollama_errors import ModelMissingError
from runtime.brain.pool_figures import Backlog, backlogs
from runtime.brain.services import Services


@frozen
class Probe:
    """What became of one question.

    Attributes:
        latency_ms: How long the answer took, in milliseconds; None when there was none.
        error: Why there was none, in words; None when there was one.
    """

    latency_ms: float | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the probe as the answer holds it."""
        return {"ok": self.error is None, "latency_ms": self.latency_ms, "error": self.error}


@frozen
class Probes:
    """The servers, asked side by side.

    Attributes:
        database: BRAiN's.
        redis: The pool's.
        ollama: The models'; None if `OLLAMA_HOST` isn't set.
        qdrant: The memory's; None if `QDRANT_URL` isn't set.
        backlogs: What waits on BRAiN's queues; None if Redis doesn't tell.
    """

    database: Probe
    redis: Probe
    ollama: Probe | None = None
    qdrant: Probe | None = None
    backlogs: tuple[Backlog, ...] | None = None


async def probe_all(services: Services) -> Probes:
    """Ask all servers that are configured side by side, each for a bounded time.

    The database is asked `SELECT 1`, Redis `PING`, Ollama for its models, among which must be
    `OLLAMA_MODEL`, and Qdrant for its version.

    A cancellation, like the time-out, closes the connection that was asked.
    """
    found: dict[str, Probe] = {}
    waiting: list[tuple[Backlog, ...]] = []

    async def ask(name: str, question: Callable[[Services], Awaitable[float]]) -> None:
        found[name] = await _bounded(question, services)

    async def look() -> None:
        # Where it fails, the probe of Redis tells.
        with anyio.move_on_after(services.probe_timeout), suppress(OSError, RedisError):
            waiting.append(await backlogs(services.redis, services.clock()))

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "database", _database)
        group.start_soon(ask, "redis", _redis)
        group.start_soon(look)
        if services.ollama.configured:
            group.start_soon(ask, "ollama", _ollama)
        if services.memory.url is not None:
            group.start_soon(ask, "qdrant", _qdrant)
    return Probes(**found, backlogs=waiting[0] if waiting else None)


async def _bounded(question: Callable[[Services], Awaitable[float]], services: Services) -> Probe:
    try:
        with anyio.fail_after(services.probe_timeout):
            seconds = await question(services)
    except TimeoutError:
        return Probe(error=f"no answer within {services.probe_timeout:g} s")
    except (OSError, RedisError, SQLAlchemyError, BrainError, httpx.HTTPError) as error:
        return Probe(error=_why(error))
    return Probe(latency_ms=round(seconds * 1000, 3))


async def _database(services: Services) -> float:
    async with services.engine.connect() as connection:
        # The first statement also begins the transaction: only the second is measured.
        await connection.execute(text("SELECT 1"))
        begun = services.timer()
        await connection.execute(text("SELECT 1"))
        return services.timer() - begun


async def _redis(services: Services) -> float:
    # The first command may connect: only the second is measured.
    await services.redis.ping()
    begun = services.timer()
    await services.redis.ping()
    return services.timer() - begun


async def _ollama(services: Services) -> float:
    ollama = services.ollama
    begun = services.timer()
    models = await ollama.models()
    took = services.timer() - begun
    if not {ollama.model, f"{ollama.model}:latest"} & set(models):
        raise ModelMissingError(ollama.model, ollama.address)
    return took


async def _qdrant(services: Services) -> float:
    # Asked without Qdrant's client, which a worker that remembers nothing needn't import.
    url = services.memory.url or ""
    async with http.client(url) as client:
        begun = services.timer()
        response = await client.get(f"{url}/")
        took = services.timer() - begun
    response.raise_for_status()
    return took


def _why(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(".") or type(error).__name__
