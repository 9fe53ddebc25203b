"""A recurring task while the workers that fire it are killed: once for each due time."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import redis
from attrs import frozen

from runtime.redis import keys
from tests.chaos.evidence import Answers, Journal, pushed_tasks
from tests.chaos.fleet import Fleet
from tests.servers import Valkey, eventually, make_valkey

_SOAK = (pytest.mark.soak, pytest.mark.timeout(600))


@frozen
class Scale:
    """How long a test runs, and with how many workers of which kind."""

    workers: int
    seconds: int
    module: str = "recurring"

    @property
    def options(self) -> tuple[str, str]:
        """What the workers are started with."""
        return "--handlers", f"tests.chaos.{self.module}:handlers"


@pytest.fixture
def recording_server() -> Iterator[Valkey]:
    """A server whose file tells all that was pushed."""
    with make_valkey(appendonly=True, extra=["--auto-aof-rewrite-percentage", "0"]) as valkey:
        yield valkey


def now(client: redis.Redis) -> float:
    """Return the server's time."""
    seconds, micros = client.time()
    return int(seconds) + int(micros) / 1e6


def due(task_id: str) -> int:
    """Return the due time that a task's id tells."""
    name, _, when = task_id.partition("@")
    assert name == "tick"
    return int(datetime.fromisoformat(when).timestamp())


def _fleet_under_fire(
    fleet: Fleet, client: redis.Redis, chance: random.Random, scale: Scale, until: float
) -> int:
    """Kill and replace workers at random, and return how many were killed."""
    kills = 0
    while (time := now(client)) < until:
        fleet.replace(fleet.victim(chance), *scale.options)
        kills += 1
        pause = time + chance.uniform(0.2, 2.0)
        eventually(lambda pause=pause: now(client) >= pause, what="the next kill")
    return kills


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(6, 10), id="short"),
        pytest.param(Scale(4, 8, "racing"), id="short racing"),
        pytest.param(Scale(20, 60), id="soak", marks=_SOAK),
        pytest.param(Scale(20, 60, "racing"), id="soak racing", marks=_SOAK),
    ],
)
def test_killed_workers_neither_lose_nor_double_a_due_time(
    recording_server: Valkey, tmp_path: Path, scale: Scale
) -> None:
    """Workers are killed and replaced at random: one task is pushed and answered a second."""
    server, chance = recording_server, random.Random(scale.seconds)
    with server.client() as client, Answers(server.url) as answers:
        fleet = Fleet(server.url, client, Journal(tmp_path / "journal"), tmp_path)
        try:
            fleet.start_many(scale.workers, *scale.options)
            eventually(lambda: len(answers) > 0, what="the first firing")
            start = int(now(client)) + 1
            kills = _fleet_under_fire(fleet, client, chance, scale, start + scale.seconds)
            expected = set(range(start, start + scale.seconds))
            eventually(
                lambda: expected <= {due(task) for task in list(answers.bodies)},
                what="every due time is answered",
            )
            fleet.stop()

            pushed = pushed_tasks(server.directory, keys.CLUSTER_QUEUE)
            counted = Counter(due(task) for task in pushed.elements())
            firings = sum(counted[second] for second in expected)
            print(f"{firings} firings in {scale.seconds} s, {kills} workers killed")  # noqa: T201 - the figures of a soak
            assert firings == scale.seconds
            assert max(counted.values()) == 1, counted.most_common(3)
            assert sorted(counted) == list(range(min(counted), max(counted) + 1))
            assert not answers.repeated()
            assert kills >= scale.seconds // 3
        finally:
            fleet.close()
            print(fleet.logs())  # noqa: T201 - pytest shows it for failed tests only
