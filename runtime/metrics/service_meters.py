"""Measures the services that BRAiN's handlers use: the database's pool, and Ollama."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from runtime.metrics import catalogue
from runtime.metrics.catalogue import Family
from runtime.metrics.families import fill, value_of
from runtime.metrics.tallies import DURATIONS, Histogram


class CountsConnections(Protocol):
    """What is needed of SQLAlchemy's pool; its counts may be read from any thread."""

    def size(self) -> int:
        """Return how many connections it may open."""

    def checkedin(self) -> int:
        """Return how many are open and idle."""

    def checkedout(self) -> int:
        """Return how many are in use."""


class Pool:
    """The database's pool.

    Args:
        pool: it.
    """

    def __init__(self, pool: CountsConnections) -> None:
        self._pool = pool

    def __repr__(self) -> str:
        return f"Pool({self._pool.checkedout()} busy)"

    def collect(self) -> Iterable[Family]:
        """Return what there is to show."""
        connections = catalogue.CONNECTIONS.gauge()
        connections.add_metric(("busy",), self._pool.checkedout())
        connections.add_metric(("idle",), self._pool.checkedin())
        yield connections
        yield value_of(catalogue.CONNECTIONS_MAX, self._pool.size())


class OllamaCalls:
    """See `runtime.brain.ollama.Meter`."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], Histogram] = {}
        self._tokens = Counter[str]()

    def __repr__(self) -> str:
        return f"OllamaCalls({len(self._requests)} kinds)"

    def asked(self, request: str, outcome: str, seconds: float) -> None:
        """Note a request."""
        self._requests.setdefault((request, outcome), Histogram(DURATIONS)).note(seconds)

    def chatted(self, prompt: int | None, reply: int | None) -> None:
        """Count the tokens of a chat, as far as Ollama tells them."""
        self._tokens["prompt"] += prompt or 0
        self._tokens["reply"] += reply or 0

    def collect(self) -> Iterable[Family]:
        """Return what there is to show; nothing before the first request."""
        if not self._requests:
            return
        requests = catalogue.OLLAMA.histogram()
        for labels, histogram in list(self._requests.items()):
            fill(requests, labels, histogram)
        tokens = catalogue.TOKENS.counter()
        for kind, count in list(self._tokens.items()):
            tokens.add_metric((kind,), count)
        yield from (requests, tokens)
