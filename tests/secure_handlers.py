"""Handlers that do all that a worker's server is asked for, and fail in every way."""
# ruff: noqa: ARG001, TRY301 - a handler takes a payload; these raise where a user's would

import os
import signal
from typing import Any

from attrs import frozen
from loguru import logger

from actors import Backoff, Context, Handlers, Reject

handlers = Handlers(queue="brain:mission_tasks", retry=Backoff(attempts=2, base=0.01))
handlers.every("1s", "tick", {})


@frozen
class Login:
    """A payload whose password has to be a string."""

    password: str


@frozen
class Pin:
    """A payload whose password has to be a number."""

    password: int


@handlers.on("tick")
async def tick(payload: dict[str, Any]) -> None:
    pass


@handlers.on("steps")
async def steps(payload: dict[str, Any], context: Context) -> dict[str, Any]:
    """Save a step, fail once, and go on from there."""
    context.progress(1, 2)
    if context.saved is None:
        await context.save({"step": 1})
        raise ValueError("again")
    return {"saved": context.saved}


@handlers.on("slow")
async def slow(payload: dict[str, Any], context: Context) -> None:
    context.progress(1, 3)
    await _forever()


@handlers.on("write")
async def write(payload: dict[str, Any]) -> dict[str, Any]:
    return {"written": True}


@handlers.on("fail")
async def fail(payload: dict[str, Any]) -> None:
    raise RuntimeError("no luck")


@handlers.on("pin")
async def pin(payload: Pin) -> None:
    pass


@handlers.on("reject")
async def reject(payload: Login) -> None:
    raise Reject(f"no account has the password {payload.password}")


@handlers.on("raise")
async def raise_(payload: Login) -> None:
    """Fail with the payload in the text, in a cause and in a note of the exception."""
    logger.info("logging in with {}", {"password": payload.password})
    try:
        raise KeyError(payload.password)
    except KeyError as error:
        failure = RuntimeError(f"can't log in as {payload}: {payload.password!r} is wrong")
        failure.add_note(f"tried {payload.password}")
        raise failure from error


@handlers.on("thread")
def thread(payload: Login) -> None:
    raise ValueError(payload.password + " is wrong")


@handlers.on("process", run_in="process")
def process(payload: Login) -> None:
    logger.warning("process with password={}", payload.password)
    raise ValueError("x" * 280 + payload.password)


@handlers.on("late", timeout=0.05)
async def late(payload: Login) -> None:
    try:
        await _forever()
    finally:
        logger.warning("cut off at {}", f"https://bob:{payload.password}@host/")


@handlers.on("url")
async def url(payload: dict[str, Any]) -> None:
    """Tell what a driver might: the URL of its server."""
    raise ConnectionError(f"no route to {os.environ['DATABASE_URL']} or {os.environ['REDIS_URL']}")


@handlers.on("group")
async def group(payload: Login) -> None:
    raise ExceptionGroup(f"both of {payload.password}", [ValueError(payload.password)])


@handlers.on("kill")
async def kill(payload: Login) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _forever() -> None:
    import anyio  # noqa: PLC0415

    await anyio.sleep_forever()
