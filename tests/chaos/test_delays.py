"""Tasks that wait for their time while everything around them dies."""

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime import TaskQueue
from runtime.redis import keys
from tests.chaos.evidence import Journal, answered, assert_nothing_is_left, result_of
from tests.chaos.fleet import Fleet
from tests.servers import Valkey, eventually, make_valkey

_CLOCK = timedelta(milliseconds=2)
"""The server counts in milliseconds."""


@pytest.fixture
def lasting_server() -> Iterator[Valkey]:
    """A server that loses nothing when it is killed."""
    with make_valkey(appendonly=True) as valkey:
        yield valkey


@pytest.mark.parametrize(
    "count", [pytest.param(200, id="short"), pytest.param(1000, id="soak", marks=pytest.mark.soak)]
)
def test_delayed_tasks_outlive_the_fleet_and_the_server(
    lasting_server: Valkey, tmp_path: Path, count: int
) -> None:
    """Everything is killed before the first one is due: all start once, none of them early."""
    server, chance = lasting_server, random.Random(count)
    journal = Journal(tmp_path / "journal")
    delays = [chance.uniform(4, 7) for _ in range(count)]

    async def push() -> dict[str, datetime]:
        async with TaskQueue(server.url) as queue:
            due = {}
            for delay in delays:
                at = datetime.now(UTC) + timedelta(seconds=delay)
                due[await queue.push_task("work", {"ms": 1}, delay=delay)] = at
            return due

    with server.client() as client:
        fleet = Fleet(server.url, client, journal, tmp_path)
        try:
            fleet.start_many(2)
            due = asyncio.run(push())
            for worker in list(fleet.workers):
                worker.kill()
                fleet.workers.remove(worker)
            server.restart()
            fleet.start_many(2)

            eventually(lambda: answered(client, list(due)) == count, 60, what="all are answered")
            assert journal.begun() == dict.fromkeys(due, 1)
            for task_id, at in due.items():
                started = datetime.fromisoformat(result_of(client, task_id)["started_at"])
                assert started >= at - _CLOCK, (task_id, at, started)
            assert client.zcard(keys.delayed(keys.CLUSTER_QUEUE)) == 0
            assert_nothing_is_left(client)
            fleet.stop()
        finally:
            fleet.close()
            print(fleet.logs())  # noqa: T201 - pytest shows it for failed tests only
