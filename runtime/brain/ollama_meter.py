"""Where whoever measures Ollama is told of requests and tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol


class Meter(Protocol):
    """What measures a client's requests."""

    def asked(self, request: str, outcome: str, seconds: float) -> None:
        """Hear how a request ended.

        Args:
            request: `chat`, `embed` or `tags`.
            outcome: `answered`, `failed`, or `abandoned`: cancelled before its end.
            seconds: how long it took, a streamed answer to its end.
        """

    def chatted(self, prompt: int | None, reply: int | None) -> None:
        """Hear of a chat's tokens, as far as Ollama tells them."""


@contextmanager
def measured(meter: Meter | None, request: str) -> Iterator[None]:
    """Tell a meter how long the block took, and how it ended."""
    if meter is None:
        yield
        return
    began, outcome = perf_counter(), "abandoned"
    try:
        yield
        outcome = "answered"
    except Exception:
        outcome = "failed"
        raise
    finally:
        meter.asked(request, outcome, perf_counter() - began)
