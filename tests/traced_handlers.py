"""Handlers that log in every way that there is, for the tests of logs and traces."""

import logging
from typing import Any

from loguru import logger

from actors import Backoff, Context, Handlers

handlers = Handlers(retry=Backoff(attempts=2, base=0.01))


@handlers.on("speak")
async def speak(payload: dict[str, Any], context: Context) -> None:
    """Fail at first."""
    _say("on the loop")
    if context.attempt == 1 and payload.get("fails"):
        raise ValueError("at first")


@handlers.on("speak.thread")
def speak_in_thread(payload: dict[str, Any]) -> None:
    _say(f"in a thread {payload}")


@handlers.on("speak.process", run_in="process")
def speak_in_process(payload: dict[str, Any]) -> None:
    _say(f"in a process {payload}")


@handlers.on("speak.badly")
async def speak_badly(payload: dict[str, Any]) -> None:
    """Give a line arguments that don't fit, as libraries do."""
    form = "%d of %d"
    logging.getLogger("a.library").warning(form, payload)


def _say(where: str) -> None:
    logger.info("loguru {}", where)
    logging.getLogger("a.library").warning("logging %s", where)
