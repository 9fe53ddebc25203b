"""A bar that shows how far a task is, while somebody waits for its result at a terminal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from messages import Progress
from runtime.progress import read_progress
from runtime.redis.connection import async_client
from runtime.redis.scripts import Call

_LOOK: Final = 0.25
"""Seconds between looks: a worker tells twice a second at most."""


@asynccontextmanager
async def shown(url: str, task_id: str) -> AsyncIterator[None]:
    """Show how far a task is during the block, on the standard error, if that is a terminal.

    The bar is gone at the end. A server out of reach leaves it as it is.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield
        return
    client = async_client(url, single_connection=True)
    bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    try:
        with bar:
            following = asyncio.create_task(_follow(bar, client.execute_command, task_id))
            try:
                yield
            finally:
                following.cancel()
                await asyncio.wait([following])
    finally:
        await client.aclose()


async def _follow(bar: Bar, call: Call, task_id: str) -> None:
    row = bar.add_task(_place(None), total=None, amount="")
    while True:
        with suppress(RedisError, OSError):
            progress = await read_progress(call, task_id)
            bar.update(
                row,
                description=_place(progress),
                completed=(progress.done if progress else None) or 0,
                total=progress.total if progress else None,
                amount=amount_in_words(progress) if progress else "",
            )
        await asyncio.sleep(_LOOK)


def _place(progress: Progress | None) -> str:
    return "waits for a worker" if progress is None else f"runs on {progress.worker_id}"


def amount_in_words(progress: Progress) -> str:
    """Say how much is done: a share, a number, or nothing where the handler says nothing."""
    done, total = progress.done, progress.total
    if done is None:
        return ""
    if not total:
        return _said(done)
    share = min(100, int(100 * done / total))
    return f"{_said(done)} of {_said(total)} ({share}%)"


def _said(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.2f}"
