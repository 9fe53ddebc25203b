"""Shows queues and workers at a glance."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from attrs import asdict, frozen
from cyclopts import Parameter

from runtime.cli.options import DATA_DIR, DataDir, Flag, RedisUrl
from runtime.cli.values import Names


@Parameter(name="*")
@frozen(kw_only=True)
class StatusOptions:
    """What is looked at, and how it is shown.

    Attributes:
        queues: More queues to look at; those of BRAiN and of living workers are there anyway.
            Repeat it or write commas.
        as_json: Print JSON.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
    """

    queues: Names = ()
    as_json: Annotated[bool, Flag, Parameter(name="--json")] = False
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR


_DEFAULTS: Final = StatusOptions()


def status(*, options: StatusOptions = _DEFAULTS) -> int:
    """Show queues and workers at a glance, and say what needs attention.

    A worker's figures are those of its last heartbeat, which comes every 30 s.

    Args:
        options: what is looked at.
    """
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import place  # noqa: PLC0415

    asyncio.run(_status(place.find(options.redis_url, options.data_dir), options))
    return 0


async def _status(url: str, options: StatusOptions) -> None:
    from runtime.cli.overview import overview  # noqa: PLC0415 - as above
    from runtime.producer_session import open_session  # noqa: PLC0415

    session = await open_session(url, 5.0, lambda: 0.5)
    try:
        found = await overview(session, options.queues, datetime.now(UTC))
    finally:
        await session.aclose()
    if options.as_json:
        body: dict[str, Any] = {"redis": session.address, **asdict(found)}
        print(json.dumps(body, ensure_ascii=False, indent=2))  # noqa: T201 - it is the command line's
        return
    from rich.console import Console  # noqa: PLC0415 - JSON needs none

    from runtime.cli import tables  # noqa: PLC0415

    tables.show(found, session.address, Console(highlight=False, markup=False))
