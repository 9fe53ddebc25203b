"""Handlers for the tests of the command line, as a user's own module."""

import time
from pathlib import Path
from typing import Any

import anyio

from actors import Context, Handlers

handlers = Handlers()
more = Handlers(queue="brain:mission_tasks")
clashing = Handlers()
nothing = 1


@handlers.on("echo")
async def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handlers.on("nap")
async def nap(payload: dict[str, Any]) -> None:
    await anyio.sleep(payload["seconds"])


@handlers.on("fail")
async def fail(payload: dict[str, Any]) -> dict[str, Any]:
    raise ValueError(payload.get("why", "no reason"))


@handlers.on("until")
async def until(payload: dict[str, Any]) -> dict[str, Any]:
    """Run until a file is there."""
    _began(payload)
    while not Path(payload["file"]).exists():  # noqa: ASYNC110, ASYNC240 - the file is the event
        await anyio.sleep(0.01)
    return {"seen": True}


@handlers.on("count")
async def count(payload: dict[str, Any], context: Context) -> dict[str, Any]:
    """Say how far it is, and run until a file is there."""
    context.progress(payload["done"], payload.get("total"))
    return await until(payload)


@handlers.on("stick")
def stick(payload: dict[str, Any]) -> None:
    """Run for longer than any test."""
    _began(payload)
    time.sleep(600)


@handlers.on("shield")
async def shield(payload: dict[str, Any]) -> None:
    """Refuse to be cancelled."""
    _began(payload)
    with anyio.CancelScope(shield=True):
        await anyio.sleep(600)


@handlers.on("block")
async def block(payload: dict[str, Any]) -> None:
    """Keep the event loop from turning."""
    _began(payload)
    time.sleep(600)  # noqa: ASYNC251 - the mistake in question


@more.on("double")
def double(payload: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": payload["number"] * 2}


@clashing.on("echo")
def other_echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def _began(payload: dict[str, Any]) -> None:
    with Path(payload["began"]).open("a") as began:
        began.write("x")
