"""The pool's own process: private servers, signals, exit codes.

| what happens | exit code |
|---|---|
| a signal before a worker was started | 0 |
| a drain of all workers, or the end of `--burst`, with all answers settled | 0 |
| a worker that could not settle, or had to be killed, at the end; a crash | 1 |
| an option, a handler module or a server with which no worker can start | 2 |
"""

import asyncio
import platform
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from random import random
from secrets import token_hex
from typing import Final

from loguru import logger

from runtime import logs
from runtime.cli.options import WorkerOptions
from runtime.cli.signals import StoppedEarlyError, StopSignals
from runtime.composition import places
from runtime.embedded.errors import EmbeddedError
from runtime.errors import PoolError
from runtime.pool.decision import Goal
from runtime.pool.figures import Look, look_at
from runtime.pool.supervisor import CLEAN, FAILED, WRONG_USE, Supervisor
from runtime.producer_session import Session, open_session

_TIMEOUT: Final = 5.0
"""Seconds that the server has for an answer."""


def run_pool(options: WorkerOptions, goal: Goal) -> int:
    """Be a pool's process, and return its exit code.

    Args:
        options: the workers'.
        goal: how many there may be, and what they are to keep.
    """
    logs.configure(options.log_level, options.log_format)
    with StopSignals() as signals:
        try:
            return asyncio.run(_Pool(options, goal, signals).run())
        except StoppedEarlyError:
            return CLEAN
        except (PoolError, EmbeddedError) as error:
            _say(options, str(error))
            return WRONG_USE
        except Exception as error:  # noqa: BLE001 - the last to hear of it
            logger.opt(exception=error).critical("The pool crashed, which is a bug")
            return FAILED


class _Pool:
    def __init__(self, options: WorkerOptions, goal: Goal, signals: StopSignals) -> None:
        self._options = options
        self._goal = goal
        self._signals = signals
        self._supervisor: Supervisor | None = None

    async def run(self) -> int:
        """Hold the private servers for the workers, and supervise these."""
        loop = asyncio.get_running_loop()
        life = asyncio.create_task(self._live())

        def hear() -> None:
            if self._supervisor is not None:
                self._supervisor.stop()
            else:
                life.cancel()

        self._signals.react(lambda _: loop.call_soon_threadsafe(hear))
        try:
            return await life
        except asyncio.CancelledError:
            return CLEAN

    async def _live(self) -> int:
        async with AsyncExitStack() as stack:
            # The workers join them as users of their own; ours keep them when these go.
            redis_url, _ = await places(self._options, stack)
            eyes = _Eyes(redis_url)
            stack.push_async_callback(eyes.aclose)
            name = self._options.worker_id or f"{platform.node() or 'worker'}-{token_hex(3)}"
            # Nothing is awaited between these two: a signal either cancels or stops.
            self._supervisor = Supervisor(self._options, self._goal, name, eyes.look)
            code = await self._supervisor.run()
        if self._supervisor.refusal is not None:
            _say(self._options, self._supervisor.refusal)
        return code


class _Eyes:
    """Looks at the server, connecting when it is needed and can be had.

    Args:
        url: the server's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: Session | None = None

    async def look(self, queues: Sequence[str]) -> Look:
        """Look at queues; raises what `look_at` raises."""
        if self._session is None:
            self._session = await open_session(self._url, _TIMEOUT, random)
        return await look_at(self._session, queues, datetime.now(UTC))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.aclose()


def _say(options: WorkerOptions, sentence: str) -> None:
    if options.log_format == "json":
        logger.critical("{}", sentence)
    else:
        print(sentence, file=sys.stderr)  # noqa: T201 - it is the command line's
