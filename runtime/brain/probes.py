"""Asks the servers that BRAiN lives on whether they answer, and how fast."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from attrs import frozen
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from runtime.brain.errors import BrainError
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
    """Both servers, asked side by side."""

    database: Probe
    redis: Probe


async def probe_all(services: Services) -> Probes:
    """Ask the database (`SELECT 1`) and Redis (`PING`) side by side, each for a bounded time.

    A cancellation, like the time-out, closes the connection that was asked.
    """
    found: dict[str, Probe] = {}

    async def ask(name: str, question: Callable[[Services], Awaitable[float]]) -> None:
        found[name] = await _bounded(question, services)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "database", _database)
        group.start_soon(ask, "redis", _redis)
    return Probes(**found)


async def _bounded(question: Callable[[Services], Awaitable[float]], services: Services) -> Probe:
    try:
        with anyio.fail_after(services.probe_timeout):
            seconds = await question(services)
    except TimeoutError:
        return Probe(error=f"no answer within {services.probe_timeout:g} s")
    except (OSError, RedisError, SQLAlchemyError, BrainError) as error:
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


def _why(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(".") or type(error).__name__
