"""The private servers as the composition root uses them (asyncio)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import frozen
from loguru import logger

from runtime.embedded.errors import EmbeddedError
from runtime.embedded.keeper import AbandonedError, Keeper
from runtime.embedded.postgres import PostgresProgram
from runtime.embedded.valkey import ValkeyProgram

_LOOK_EVERY: Final = 0.5
_LOOK_SELDOM: Final = 60.0


@frozen
class Servers:
    """Where the private servers are reached.

    Attributes:
        redis_url: Valkey's URL, None if it wasn't asked for.
        database_url: The URL of PostgreSQL's database `brain`, None if it wasn't asked for.
    """

    redis_url: str | None
    database_url: str | None


@asynccontextmanager
async def servers(data_dir: Path, *, valkey: bool, postgres: bool) -> AsyncIterator[Servers]:
    """Use the private servers of a data directory, starting those that don't run.

    While it lasts, a server that dies is started again. On leaving, those that no other process
    uses are stopped. A cancellation is passed on as soon as the servers have been left, as on any
    exit: within half a minute, normally at once. A process that is killed leaves them running,
    for the next to use.

    Args:
        data_dir: The directory of their files; made if missing.
        valkey: Whether to use Valkey.
        postgres: Whether to use PostgreSQL.

    Raises:
        EmbeddedError: A server can't be used; the sentence says why and what to do.
    """
    queue = Keeper(ValkeyProgram(data_dir)) if valkey else None
    database = Keeper(PostgresProgram(data_dir)) if postgres else None
    keepers = [keeper for keeper in (queue, database) if keeper is not None]
    try:
        # Together, since making a new database takes a second or more.
        await _in_threads([keeper.join for keeper in keepers], keepers)
        watching = [asyncio.create_task(_watch(keeper)) for keeper in keepers]
        try:
            yield Servers(
                redis_url=queue.url if queue else None,
                database_url=database.url if database else None,
            )
        finally:
            await _end(watching)
    finally:
        await _in_threads([keeper.leave for keeper in keepers])


async def _watch(keeper: Keeper) -> None:
    """Start the server again whenever it has died, until cancelled."""
    pause = _LOOK_EVERY
    while True:
        await asyncio.sleep(pause)
        if keeper.alive():
            pause = _LOOK_EVERY
            continue
        logger.warning("The private server died, starting it again: {}", keeper.url)
        try:
            await _in_threads([keeper.revive], [keeper])
        except EmbeddedError as error:
            logger.error("{}", error)
            pause = min(2 * pause, _LOOK_SELDOM)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await _settled(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _in_threads(
    functions: Sequence[Callable[[], None]], keepers: Sequence[Keeper] = ()
) -> None:
    """Run functions in threads at once, each to its end, so that no lock or server is forgotten.

    Args:
        functions: What blocks.
        keepers: Told to give up when we are cancelled or one of the functions fails.
    """
    if not functions:
        return
    tasks = [asyncio.create_task(asyncio.to_thread(function)) for function in functions]
    try:
        _, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        _abandon(keepers)
        await _settled(tasks)
        raise
    if running:
        _abandon(keepers)
        await _settled(running)
    # First the one that made the others give up.
    for error in sorted(filter(None, map(_error, tasks)), key=_is_abandoned):
        raise error


async def _settled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait until tasks that end soon have ended, and pass a cancellation on only then."""
    cancellation = None
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancellation = error
    for task in tasks:
        # Looked at, so that asyncio doesn't complain of an error that nobody has seen.
        _error(task)
    if cancellation is not None:
        raise cancellation


def _abandon(keepers: Sequence[Keeper]) -> None:
    for keeper in keepers:
        keeper.abandon()


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _is_abandoned(error: BaseException) -> bool:
    return isinstance(error, AbandonedError)
