"""Reads what belongs to an event loop from another thread, even if the loop is stuck."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_PATIENCE: Final = 0.5
"""Seconds that a loop has to answer; then what it said last must do."""


class LoopReader(Generic[T]):
    """A question that only the event loop can answer; made on that loop.

    Args:
        read: the question; called in a task of the loop.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._last = read()
        self._turn = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"LoopReader({self._last!r})"

    def __call__(self) -> T:
        """Return the answer of this moment, or the last one of a loop that doesn't turn."""
        with self._turn:
            answer: Future[T] = Future()
            try:
                self._loop.call_soon_threadsafe(self._ask, answer)
                self._last = answer.result(_PATIENCE)
            except (TimeoutError, RuntimeError):
                # It is stuck, or was closed; a late answer is heard by nobody.
                answer.cancel()
            return self._last

    def _ask(self, answer: Future[T]) -> None:
        # In a task, for whoever asks anyio for the time must be in one.
        self._task = self._loop.create_task(self._answer(answer))

    async def _answer(self, answer: Future[T]) -> None:
        if answer.set_running_or_notify_cancel():
            answer.set_result(self._read())
