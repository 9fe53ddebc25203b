"""Workers and servers that die under load: every task is answered, and none twice (I1, I2)."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from attrs import frozen

from tests.chaos.evidence import (
    Answers,
    Journal,
    answered,
    assert_answered_once,
    assert_nothing_is_left,
    stored_answers,
)
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push_work
from tests.servers import Valkey, eventually, make_valkey

_WORKERS = 4


@frozen
class Scale:
    """How long a test runs."""

    tasks: int
    faults: int


def _scales(short: Scale, soak: Scale) -> list[object]:
    return [
        pytest.param(short, id="short"),
        pytest.param(soak, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ]


def _under_load(count: Callable[[], int], scale: Scale, fault: Callable[[], None]) -> None:
    """Do the faults evenly spread over the work, then wait until all is answered."""
    for number in range(1, scale.faults + 1):
        enough = scale.tasks * number // (scale.faults + 1)
        eventually(lambda enough=enough: count() >= enough, 120, what=f"{enough} tasks answered")
        fault()
    eventually(lambda: count() >= scale.tasks, 240, what="every task answered")


@pytest.mark.parametrize("scale", _scales(Scale(400, 3), Scale(2000, 10)))
def test_killed_workers_lose_and_repeat_nothing(
    client: redis.Redis, answers: Answers, fleet: Fleet, scale: Scale
) -> None:
    """Workers that are killed under load leave every task answered, published exactly once."""
    chance = random.Random(scale.tasks)
    fleet.start_many(_WORKERS)
    ids = push_work(client, scale.tasks, chance)

    _under_load(lambda: len(answers), scale, lambda: fleet.replace(fleet.victim(chance)))

    assert_answered_once(client, answers, ids)
    fleet.stop()


@pytest.fixture
def lasting_server() -> Iterator[Valkey]:
    """A server that loses nothing when it is killed, and whose file tells all that it wrote."""
    with make_valkey(appendonly=True, extra=["--auto-aof-rewrite-percentage", "0"]) as valkey:
        yield valkey


@pytest.mark.parametrize("scale", _scales(Scale(400, 2), Scale(2000, 3)))
def test_a_killed_server_loses_and_repeats_nothing(
    lasting_server: Valkey, tmp_path: Path, scale: Scale
) -> None:
    """A server killed and restarted under load leaves every task answered, stored exactly once."""
    chance = random.Random(scale.tasks)
    server = lasting_server
    journal = Journal(tmp_path / "journal")
    with server.client() as client, Answers(server.url) as answers:
        fleet = Fleet(server.url, client, journal, tmp_path)
        try:
            fleet.start_many(_WORKERS)
            ids = push_work(client, scale.tasks, chance)
            _under_load(lambda: answered(client, ids), scale, server.restart)
            assert_nothing_is_left(client)
            stored = stored_answers(server.directory)
            assert set(stored) == set(ids)
            assert max(stored.values()) == 1, stored.most_common(3)
            # A crash may swallow a publication, but nothing repeats one.
            assert not answers.repeated()
            repeated = {task: n for task, n in journal.begun().items() if n > 1}
            assert not repeated, f"run again, though no worker died: {repeated}"
            fleet.stop()
        finally:
            fleet.close()
            print(fleet.logs())  # noqa: T201 - pytest shows it for failed tests only
