"""What the measured workers run."""

import os
import time
from typing import Any

import anyio
from attrs import frozen

from actors import Handlers

handlers = Handlers()


@frozen
class Numbered:
    """A task that is only counted."""

    number: int


@frozen
class Stamped:
    """A task that says when it was pushed, by the clock that all processes share."""

    sent_ns: int


@frozen
class Held:
    """A task that its first worker never ends.

    Attributes:
        journal: a file; each start adds a line with the process and the time.
        seconds: how long the first start lasts, unless its process dies.
    """

    journal: str
    seconds: float


@handlers.on("bench.noop")
async def noop(payload: Numbered) -> dict[str, Any]:
    """Do nothing, but with a typed payload and a real answer."""
    return {"number": payload.number}


@handlers.on("bench.stamp")
async def stamp(payload: Stamped) -> dict[str, Any]:
    """Tell how long the task took to get here."""
    return {"waited_ns": time.monotonic_ns() - payload.sent_ns}


@handlers.on("bench.hold")
async def hold(payload: Held) -> dict[str, Any]:
    """Note the start; stay if it is the first."""
    now = time.monotonic_ns()
    async with await anyio.open_file(payload.journal, "a+") as journal:
        await journal.write(f"{os.getpid()} {now}\n")
        await journal.flush()
        await journal.seek(0)
        starts = (await journal.read()).splitlines()
    if len(starts) == 1:
        await anyio.sleep(payload.seconds)
    return {"starts": len(starts)}
