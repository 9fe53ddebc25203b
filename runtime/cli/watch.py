"""Shows an overview again and again, until Ctrl-C."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.live import Live

from runtime.cli.board import Board
from runtime.cli.figures import age
from runtime.cli.overview import Overview
from runtime.errors import PoolError

_EVERY: Final = 2.0
"""Seconds between looks."""


async def watch(look: Callable[[], Awaitable[Overview]], address: str, console: Console) -> None:
    """Show what there is, every two seconds, on a screen of its own.

    A server that goes away meanwhile is told, and waited for. A cancellation gives the terminal
    back as it was.

    Args:
        look: looks at the server.
        address: the server, as it may be shown.
        console: a terminal.

    Raises:
        PoolError: the first look fails.
    """
    board = Board(await look(), address, when=_now())
    seen = time.monotonic()
    with Live(board, console=console, screen=True, auto_refresh=False) as live:
        live.refresh()
        while True:
            await asyncio.sleep(_EVERY)
            try:
                board = Board(await look(), address, when=_now())
                seen = time.monotonic()
            except PoolError as error:
                old = age(time.monotonic() - seen)
                trouble = f"This is {old} old: {error}"
                board = Board(board.found, address, when=board.when, trouble=trouble)
            live.update(board, refresh=True)


def _now() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"
