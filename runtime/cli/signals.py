"""SIGTERM and SIGINT, and the end of a process that doesn't come to one by itself."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Final, Self

from attrs import frozen
from loguru import logger

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StoppedEarlyError(BaseException):
    """A signal came before there was an event loop to hear of it."""


class StopSignals:
    """Counts the signals that ask for an end, for as long as it is entered.

    They are handled between two bytecodes of the main thread, so also while a handler blocks the
    event loop.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, object] = {}
        self._reaction: Callable[[int], object] | None = None
        self.count = 0

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # what signal() itself returned

    def react(self, reaction: Callable[[int], object]) -> None:
        """Call this with the count at each further signal, in the main thread."""
        self._reaction = reaction

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the interpreter's
        self.count += 1
        if self._reaction is None:
            raise StoppedEarlyError
        self._reaction(self.count)


@frozen
class _End:
    at: float
    code: int
    sentence: str


class Deadline:
    """Ends the process when its time is up, whatever its event loop and its other threads do.

    Args:
        clean_up: called just before the end; must not block.
    """

    def __init__(self, clean_up: Callable[[], None]) -> None:
        self._clean_up = clean_up
        # Unlike a timer and its locks, it may be used by a signal handler at any moment.
        self._orders: SimpleQueue[_End | None] = SimpleQueue()
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()

    def arm(self, seconds: float, code: int, sentence: str) -> None:
        """Set the time of the end; takes the place of an earlier one.

        Args:
            seconds: from now.
            code: the exit code.
            sentence: logged before the end.
        """
        self._orders.put(_End(time.monotonic() + seconds, code, sentence))

    def disarm(self) -> None:
        """Let the process live."""
        self._orders.put(None)

    def _watch(self) -> None:
        end: _End | None = None
        while True:
            try:
                left = None if end is None else max(0.0, end.at - time.monotonic())
                end = self._orders.get(timeout=left)
            except Empty:
                break
        if end is not None:
            logger.error("{}", end.sentence)
            self._clean_up()
            leave_now(end.code)


def leave_now(code: int) -> None:
    """End the process without waiting for any thread."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)
