"""Says how many workers there should be, for whatever starts and ends them."""

import json
import sys
from typing import Annotated, Final

from attrs import asdict, frozen
from cyclopts import Parameter

from runtime.cli.options import DATA_DIR, DataDir, Flag, RedisUrl
from runtime.cli.pool import PoolOptions, checked
from runtime.cli.values import Count, Names
from runtime.pool.decision import Goal


@Parameter(name="*")
@frozen(kw_only=True)
class DesiredOptions:
    """What is looked at, and how it is shown.

    Attributes:
        queues: The queues that the workers serve; repeat it or write commas. [default: those of
            BRAiN and of living workers]
        concurrency: How many tasks a worker runs at once, if none lives that could tell.
        as_json: Print JSON, with the figures that it follows from.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
    """

    queues: Names = ()
    concurrency: Annotated[Count, Parameter(env_var="WORKER_CONCURRENCY")] = 2
    as_json: Annotated[bool, Flag, Parameter(name="--json")] = False
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR


_SIZE: Final = PoolOptions()
_DEFAULTS: Final = DesiredOptions()


def desired(*, size: PoolOptions = _SIZE, options: DesiredOptions = _DEFAULTS) -> int:
    """Say how many workers there should be, by the decision that `pool` goes by.

    It looks for a second, starts nothing and ends nothing. How long tasks take comes from
    heartbeats, which are up to 30 s old.

    Args:
        size: how many there may be.
        options: what is looked at.
    """
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import place  # noqa: PLC0415

    goal = checked(size, options.concurrency)
    url = place.find(options.redis_url, options.data_dir)
    asyncio.run(_desired(url, goal, options))
    return 0


async def _desired(url: str, goal: Goal, options: DesiredOptions) -> None:
    from runtime.pool.desired import desired as decide  # noqa: PLC0415 - as above
    from runtime.producer_session import open_session  # noqa: PLC0415

    session = await open_session(url, 5.0, lambda: 0.5)
    try:
        found = await decide(session, options.queues, goal)
    finally:
        await session.aclose()
    if options.as_json:
        print(json.dumps(asdict(found), ensure_ascii=False))  # noqa: T201 - it is the command line's
    else:
        now = f"{found.current} {'serves' if found.current == 1 else 'serve'} now"
        sys.stdout.write(f"{found.workers} workers ({now}): {found.reason}\n")
