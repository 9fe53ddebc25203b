"""Shows queues and workers at a glance."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from attrs import asdict, frozen
from cyclopts import Parameter

from runtime.cli.options import DATA_DIR, DataDir, Flag, RedisUrl
from runtime.cli.values import Names
from runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from runtime.cli.overview import Lookout, Overview


@Parameter(name="*")
@frozen(kw_only=True)
class StatusOptions:
    """What is looked at, and how it is shown.

    Attributes:
        queues: More queues to look at; those of BRAiN and of living workers are there anyway.
            Repeat it or write commas.
        live: Show it again every two seconds, until Ctrl-C.
        as_json: Print JSON.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
    """

    queues: Names = ()
    live: Annotated[bool, Flag, Parameter(name="--watch")] = False
    as_json: Annotated[bool, Flag, Parameter(name="--json")] = False
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR


_DEFAULTS: Final = StatusOptions()

FINE: Final = 0
WRONG: Final = 1


def status(*, options: StatusOptions = _DEFAULTS) -> int:
    """Show queues and workers at a glance, and say what is wrong, the worst first.

    What each worker runs is shown once it has run for half a second. Done, failed, memory and what
    goes out a second are those of the last heartbeats, which come every 30 s. What comes in a
    second is shown by --watch, from its tenth second on.

    Exit codes: 0 nothing is wrong, 1 something is, 2 wrong use or no server. --watch ends with
    Ctrl-C and 0.

    Args:
        options: what is looked at.
    """
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import place  # noqa: PLC0415

    if options.live:
        _check_watch(options)
    url = place.find(options.redis_url, options.data_dir)
    try:
        return asyncio.run(_status(url, options))
    except KeyboardInterrupt:
        if options.live:
            return FINE
        raise


def _check_watch(options: StatusOptions) -> None:
    if options.as_json:
        raise ConfigurationError("--watch", "given with --json", "one of the two")
    if not sys.stdout.isatty():
        raise ConfigurationError(
            "--watch", "given, and the output is no terminal", "a terminal, or no --watch"
        )


async def _status(url: str, options: StatusOptions) -> int:
    from runtime.cli.overview import Lookout  # noqa: PLC0415 - as above
    from runtime.producer_session import open_session  # noqa: PLC0415

    began = time.monotonic()
    session = await open_session(url, 5.0, lambda: 0.5)
    try:
        lookout = Lookout(session, options.queues, time.monotonic() - began)
        if options.live:
            await _watch(lookout, session.address)
        found = await lookout.look()
    finally:
        await session.aclose()
    if options.as_json:
        body: dict[str, Any] = {"redis": session.address, **asdict(found)}
        print(json.dumps(body, ensure_ascii=False, indent=2))  # noqa: T201 - it is the command line's
    else:
        _show(found, session.address)
    return WRONG if found.remarks else FINE


async def _watch(lookout: "Lookout", address: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - JSON needs none

    from runtime.cli.watch import watch  # noqa: PLC0415

    await watch(lookout.look, address, Console(highlight=False, markup=False))


def _show(found: "Overview", address: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - JSON needs none

    from runtime.cli.board import Board  # noqa: PLC0415

    console = Console(highlight=False, markup=False)
    # On a terminal the line's end and the prompt that follows have their place on the screen.
    board = Board(found, address, spare=2 if console.is_terminal else None)
    console.print(board, soft_wrap=True)
