"""What the watched workers run: quick tasks, slow ones, failures, and one that blocks the loop."""

import time
from typing import Any

import anyio

from actors import Backoff, Handlers

handlers = Handlers(queue="brain:cluster_tasks", retry=Backoff(attempts=2, base=0.1, cap=0.2))


@handlers.on("quick")
async def quick(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handlers.on("slow")
async def slow(payload: dict[str, Any]) -> None:
    await anyio.sleep(payload["seconds"])


@handlers.on("fail")
async def fail(_: dict[str, Any]) -> None:
    raise ValueError("as it was told")


@handlers.on("stall")
async def stall(payload: dict[str, Any]) -> None:
    time.sleep(payload["seconds"])  # noqa: ASYNC251 - the mistake in question
