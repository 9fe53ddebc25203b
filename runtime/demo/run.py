"""From the start of a demonstration to its end: what is opened, what ends it, what it returns."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from rich.console import Console

from runtime import embedded, logs
from runtime.brain import database, schema
from runtime.brain.errors import BrainError
from runtime.demo import ollama, picture, summary
from runtime.demo.answers import heard
from runtime.demo.directory import temporary_directory
from runtime.demo.errors import DemoError
from runtime.demo.processes import Fleet
from runtime.demo.reader import Reader
from runtime.demo.record import Record
from runtime.demo.screens import Screen, screen
from runtime.demo.script import CLUSTER_ID, STEPS
from runtime.demo.snapshot import Snapshot
from runtime.demo.stage import Stage
from runtime.embedded.errors import EmbeddedError
from runtime.errors import PoolError
from runtime.producer_session import open_session
from runtime.task_queue import TaskQueue

_DONE: Final = 0
_FAILED: Final = 1
_SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_SIGNALLED: Final = 128
_FOR_PEOPLE: Final = (DemoError, PoolError, EmbeddedError, BrainError)

_LIMIT: Final = 54.0
"""Seconds for the script; with the cleaning up it is to take a minute at most."""

_FRAME: Final = 0.125
"""Seconds between two looks."""

_HEARD_WITHIN: Final = 2.0
"""Seconds after the end within which the last answers are heard."""


class _Interruption:
    """Signals that ask for the end: the first one cancels the work, and no other disturbs the rest.

    Args:
        loop: where they are heard.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.signal: int | None = None
        self.cancel: Callable[[], object] = lambda: None
        for number in _SIGNALS:
            # Who runs it in the background, or under nohup, has asked for some to be ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._hear, number)

    def _hear(self, number: int) -> None:
        if self.signal is None:
            self.signal = number
            self.cancel()


def run_demo(picture_file: Path | None) -> int:
    """Show the demonstration and return the exit code.

    Args:
        picture_file: where its picture goes, if one is wanted.
    """
    # What goes wrong is said in a sentence, and the screen belongs to the view.
    logs.configure("critical", "text")
    try:
        return asyncio.run(_main(picture_file))
    except _FOR_PEOPLE as error:
        # The terminal may be what has failed.
        with suppress(OSError):
            print(error, file=sys.stderr)  # noqa: T201 - it is the command line's
        return _FAILED


async def _main(picture_file: Path | None) -> int:
    """Do all of it, and say what came of it when nothing is left.

    Raises:
        DemoError: a part has failed; so may the other errors for people say.
    """
    interruption = _Interruption(asyncio.get_running_loop())
    record = Record()
    with temporary_directory() as directory:
        # Everything is opened by the work, which may be cancelled, and closed here, where nothing
        # can be.
        async with AsyncExitStack() as stack:
            work = asyncio.create_task(_work(directory, record, stack))
            interruption.cancel = work.cancel
            if interruption.signal is not None:
                work.cancel()
            await asyncio.wait([work])
    if interruption.signal is not None:
        return _SIGNALLED + interruption.signal
    work.result()
    found = summary.summarise(record)
    summary.show(found, Console(highlight=False, markup=False))
    if picture_file is not None and record.kept is not None:
        picture.write(record.kept, picture_file)
    return _DONE if found.well else _FAILED


async def _work(directory: Path, record: Record, stack: AsyncExitStack) -> None:
    shown = stack.enter_context(screen())
    try:
        async with asyncio.timeout(_LIMIT):
            record.announce("Starting a private Valkey and a private PostgreSQL")
            await _play(directory, record, stack, shown)
    except TimeoutError as error:
        raise DemoError(
            f"The demo hasn't come to its end within {_LIMIT:.0f} s ({record.headline}): is this "
            "machine busy? Try again when it isn't."
        ) from error


async def _play(directory: Path, record: Record, stack: AsyncExitStack, shown: Screen) -> None:
    """Open what is needed, from the servers up, and go through the script."""
    chats = await ollama.chats(os.environ)
    ticking = asyncio.create_task(_tick(record, shown))
    try:
        private = embedded.servers(directory / "data", valkey=True, postgres=True)
        places = await stack.enter_async_context(private)
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
    record.note(f"both servers answer, with their files in {directory}")
    redis_url, database_url = places.redis_url or "", places.database_url or ""
    fleet = Fleet(directory)
    stack.push_async_callback(fleet.stop)
    engine = database.engine(database_url, concurrency=3, application_name="brain-demo")
    stack.push_async_callback(engine.dispose)
    await schema.create_in_empty(engine)
    session = await open_session(redis_url, 5.0, random.random)
    stack.push_async_callback(session.aclose)
    queue = await stack.enter_async_context(TaskQueue(redis_url))
    listening = await stack.enter_async_context(heard(redis_url, record))
    reader = Reader(session, engine, CLUSTER_ID, fleet, record)
    stage = Stage(queue, engine, fleet, reader, record, shown.rest, chats)
    await _together(_script(stage), _draw(stage, shown), fleet.watch(), listening)
    _show(shown, await reader.look())


async def _script(stage: Stage) -> None:
    for step in STEPS:
        await step(stage)
    stage.record.announce("All is done; the workers and the servers are stopped now")
    left = _HEARD_WITHIN
    while left > 0 and not summary.summarise(stage.record).well:
        await asyncio.sleep(_FRAME)
        left -= _FRAME


async def _tick(record: Record, shown: Screen) -> None:
    """Show that time passes while there is no server to ask yet."""
    while True:
        _show(shown, record.beginning())
        await asyncio.sleep(_FRAME)


async def _draw(stage: Stage, shown: Screen) -> None:
    while True:
        _show(shown, await stage.reader.look())
        await asyncio.sleep(_FRAME)


def _show(shown: Screen, snapshot: Snapshot) -> None:
    try:
        shown.show(snapshot)
    except BrokenPipeError:
        # Whoever read us has read enough; the command line knows what to do.
        raise
    except OSError as error:
        raise DemoError(f"The terminal can't be written to: {error}.") from error


async def _together(work: Awaitable[None], *companions: Awaitable[None]) -> None:
    """Do the work; a companion that ends before it has failed, and ends it.

    Cancelled, it leaves none of them running.
    """
    leader, *others = tasks = [asyncio.ensure_future(one) for one in (work, *companions)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            if task.done():
                task.result()
        await leader
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
