"""A server, a journal and a fleet of workers for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos.evidence import Answers, Journal
from tests.chaos.fleet import Fleet
from tests.servers import Valkey, make_valkey


@pytest.fixture
def server() -> Iterator[Valkey]:
    """A server of the test's own."""
    with make_valkey() as valkey:
        yield valkey


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    """A client that looks into the server."""
    with server.client() as looking:
        yield looking


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """What handlers write down of their runs."""
    return Journal(tmp_path / "journal")


@pytest.fixture
def answers(server: Valkey) -> Iterator[Answers]:
    """All that is published on the channel of results from now on."""
    with Answers(server.url) as listening:
        yield listening


@pytest.fixture
def fleet(server: Valkey, client: redis.Redis, journal: Journal, tmp_path: Path) -> Iterator[Fleet]:
    """Worker processes; their logs are shown when the test fails."""
    workers = Fleet(server.url, client, journal, tmp_path)
    yield workers
    workers.close()
    print(workers.logs())  # noqa: T201 - pytest shows it for failed tests only
