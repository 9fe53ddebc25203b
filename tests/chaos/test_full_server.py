"""A server that has reached its maxmemory and refuses writes (DESIGN section 4)."""

import json
import random
import time

import pytest
import redis
from attrs import frozen

from runtime.redis import keys
from tests.chaos.evidence import Answers, Journal, assert_answered_once
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push_work
from tests.servers import eventually

_WORKERS = 4


@frozen
class Scale:
    """How many tasks there are, and how long the server is full, in seconds."""

    tasks: int
    full: float


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(700, 3), id="short"),
        pytest.param(
            Scale(4000, 20), id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(900)]
        ),
    ],
)
def test_a_full_server_goes_on_being_drained(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet, scale: Scale
) -> None:
    """While the server is full tasks go on being answered, and nobody is taken for dead."""
    workers = fleet.start_many(_WORKERS)
    ids = push_work(client, scale.tasks, random.Random(scale.tasks))
    eventually(lambda: len(answers) > scale.tasks // 10)

    client.set("junk", b"x" * 16_000_000)
    client.config_set("maxmemory", 4_000_000)
    with pytest.raises(redis.OutOfMemoryError):
        client.rpush(keys.CLUSTER_QUEUE, b"refused")
    before = len(answers)
    until = time.monotonic() + scale.full
    # A worker can also join while the server is full.
    workers.append(fleet.start())
    eventually(lambda: time.monotonic() > until, what="the server has been full long enough")
    assert len(answers) - before > scale.tasks // 10
    for worker in workers:
        key = keys.heartbeat(worker.worker_id)
        beat = eventually(lambda key=key: client.get(key), what=f"{worker} beats")
        assert json.loads(beat)["worker_id"] == worker.worker_id
    client.delete("junk")
    client.config_set("maxmemory", 0)

    eventually(lambda: len(answers) == scale.tasks, 240, what="every task answered")
    assert_answered_once(client, answers, ids)
    again = {task: count for task, count in journal.begun().items() if count > 1}
    assert not again, f"taken from the living: {again}"
    fleet.stop()
