"""Waiting for something to become true: the only place where a test may sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    predicate: Callable[[], T], timeout: float = 30, every: float = 0.02, what: str = ""
) -> T:
    """Poll until the predicate returns something true, and return that.

    The only place where a test may sleep: the time-out bounds a failing test, it proves nothing.
    """
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        _check_deadline(deadline, what, predicate)
        time.sleep(every)
    return value


async def eventually_async(
    predicate: Callable[[], T],
    timeout: float = 30,  # noqa: ASYNC109 - bounds the polling, as in its twin
    every: float = 0.02,
    what: str = "",
) -> T:
    """Poll like `eventually`, letting the event loop turn in between (asyncio)."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        _check_deadline(deadline, what, predicate)
        await asyncio.sleep(every)
    return value


async def eventually_awaited(
    question: Callable[[], Awaitable[T]],
    timeout: float = 30,  # noqa: ASYNC109 - bounds the polling, as in its twins
    every: float = 0.005,
    what: str = "",
) -> T:
    """Poll like `eventually` with a question that has to be awaited (asyncio)."""
    deadline = time.monotonic() + timeout
    while not (value := await question()):
        _check_deadline(deadline, what, question)
        await asyncio.sleep(every)
    return value


def _check_deadline(deadline: float, what: str, predicate: object) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"never came true: {what or predicate}")
