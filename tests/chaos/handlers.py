"""Handlers that leave a trace of each run outside the server that the tests break.

Each start and each orderly end is a line in the file that `CHAOS_JOURNAL` names: a single write
to a file opened for appending, so that lines of several processes never mix and a SIGKILL loses
none that was written.
"""

import os
import time

import anyio
from attrs import frozen

from actors import Backoff, Context, Handlers

handlers = Handlers()
_SOON = Backoff(base=0.05)

_journal = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what: str, context: Context) -> None:
    """Write a line about a run."""
    os.write(_journal, f"{what} {os.getpid()} {context.task_id}\n".encode())


@frozen
class Work:
    """Work in steps that each end with a look at the event loop.

    Attributes:
        ms: of one step.
        steps: how many.
    """

    ms: float
    steps: int = 1


@frozen
class Block:
    """Work that looks at nothing.

    Attributes:
        seconds: how long.
    """

    seconds: float


@handlers.on("work")
async def work(payload: Work, context: Context) -> dict[str, int]:
    """Wait on the event loop."""
    note("begin", context)
    for _ in range(payload.steps):
        await anyio.sleep(payload.ms / 1000)
    note("end", context)
    return {"pid": os.getpid()}


@handlers.on("block")
async def block(payload: Block, context: Context) -> dict[str, int]:
    """Hold up the event loop, as no handler should."""
    note("begin", context)
    time.sleep(payload.seconds)  # noqa: ASYNC251 - the fault that tests are about
    note("end", context)
    return {"pid": os.getpid()}


@handlers.on("thread")
def thread(payload: Block, context: Context) -> dict[str, int]:
    """Hold up a thread that nobody can cancel."""
    note("begin", context)
    time.sleep(payload.seconds)
    note("end", context)
    return {"pid": os.getpid()}


@handlers.on("crunch", run_in="process")
def crunch(payload: Block, context: Context) -> dict[str, int]:
    """Hold up a process that can be ended."""
    note("begin", context)
    time.sleep(payload.seconds)
    note("end", context)
    return {"pid": os.getpid()}


@frozen
class Fail:
    """Work that fails at first.

    Attributes:
        times: how many attempts fail.
        until: a file; every attempt fails until it exists.
    """

    times: int = 0
    until: str = ""


@handlers.on("fail", retry=_SOON)
async def fail(payload: Fail, context: Context) -> dict[str, int]:
    """Fail some times, or until somebody has mended the cause."""
    note("begin", context)
    if context.attempt <= payload.times or (
        payload.until and not await anyio.Path(payload.until).exists()
    ):
        raise RuntimeError(f"attempt {context.attempt} has no luck")
    return {"attempt": context.attempt}


@frozen
class Steps:
    """Work that goes on where it stood.

    Attributes:
        count: how many steps.
        ms: of one step.
    """

    count: int
    ms: float


@handlers.on("steps")
async def steps(payload: Steps, context: Context) -> dict[str, int]:
    """Leave a trace of each step, and save after it."""
    first = context.saved or 0
    note(f"from-{first}", context)
    for step in range(first, payload.count):
        context.progress(step, payload.count)
        await anyio.sleep(payload.ms / 1000)
        note(f"step-{step}", context)
        await context.save(step + 1)
    return {"from": first, "attempt": context.attempt}


@handlers.on("steps.thread")
def steps_in_thread(payload: Steps, context: Context) -> dict[str, int]:
    """Do the same in a thread."""
    return _steps(payload, context)


@handlers.on("steps.process", run_in="process")
def steps_in_process(payload: Steps, context: Context) -> dict[str, int]:
    """Do the same in a process."""
    return _steps(payload, context)


def _steps(payload: Steps, context: Context) -> dict[str, int]:
    first = context.saved or 0
    note(f"from-{first}", context)
    for step in range(first, payload.count):
        time.sleep(payload.ms / 1000)
        note(f"step-{step}", context)
        context.save(step + 1)
    return {"from": first, "attempt": context.attempt}


@handlers.on("poison")
async def poison(_: dict[str, object], context: Context) -> None:
    """End the worker without a word, as a crash in C code does."""
    note("begin", context)
    os._exit(1)


@handlers.on("spawn_agent")
async def spawn_agent(payload: dict[str, object]) -> dict[str, object]:
    """Stand in for BRAiN's handler, which needs a database."""
    return {"cluster_id": payload["cluster_id"]}
