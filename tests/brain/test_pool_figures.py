"""What Redis tells of BRAiN's queues and workers, on a real Valkey."""

import json
from datetime import timedelta
from typing import Any

import pytest

from messages import Answered, Heartbeat, encode_heartbeat, encode_task
from runtime.brain.pool_figures import Backlog, Beat, Totals, backlogs, beats, totals
from runtime.brain.services import Services
from runtime.redis import keys
from tests.brain.conftest import NOW

pytestmark = pytest.mark.anyio


def task(age: float, **more: Any) -> bytes:
    """Return a task that was created so many seconds ago."""
    created = NOW - timedelta(seconds=age)
    body = encode_task(task_id="t", task_type="k", payload={}, created_at=created)
    return json.dumps(json.loads(body) | more).encode()


def iso(age: float) -> str:
    return (NOW - timedelta(seconds=age)).isoformat()


async def holds(services: Services, worker_id: str, *queues: str) -> None:
    for queue in queues:
        await services.redis.zadd(keys.holders(queue), {f"{worker_id}#1": 1.0})


async def beat(services: Services, worker_id: str, *queues: str, **figures: Any) -> None:
    """Store a heartbeat as a worker does, and that it holds leases."""
    await holds(services, worker_id, *queues)
    body = Heartbeat(worker_id, NOW, 1, 0, 0, NOW, f"{worker_id}#1", 2, queues, **figures)
    await services.redis.set(keys.heartbeat(worker_id), encode_heartbeat(body), ex=60)


@pytest.mark.parametrize(
    ("head", "waited"),
    [
        (task(40), 40.0),
        (task(-5), 0.0),
        (task(0, created_at="2024-02-17T10:29:00"), 60.0),
        (task(40, not_before=iso(10)), 10.0),
        (task(40, errors=[{"attempt": 1, "error": "x", "time": iso(20)}]), 20.0),
        (task(40, errors=[{"attempt": 1, "error": "x", "time": iso(20)[:19]}]), 20.0),
        (b"{", None),
    ],
)
async def test_the_head_tells_since_when_it_waits(
    services: Services, head: bytes, waited: float | None
) -> None:
    """A task waits since it was created, since it was due, or since its last attempt failed."""
    await services.redis.rpush(keys.MISSION_QUEUE, head, task(3))
    assert await backlogs(services.redis, NOW) == (
        Backlog(keys.CLUSTER_QUEUE, 0, None),
        Backlog(keys.MISSION_QUEUE, 2, waited),
    )


async def test_the_workers_that_serve_brain_are_found(services: Services) -> None:
    """Other queues' workers, the dead, and what is no heartbeat are left out; each is read once."""
    await beat(services, "a", keys.CLUSTER_QUEUE, "mine", cpu_percent=1.0)
    await beat(services, "b", "mine", cpu_percent=50.0)
    await holds(services, "c", keys.CLUSTER_QUEUE, keys.MISSION_QUEUE)
    older = {"worker_id": "c", "queues": [keys.MISSION_QUEUE], "unknown": [1]}
    await services.redis.set(keys.heartbeat("c"), json.dumps(older))
    await holds(services, "d", keys.CLUSTER_QUEUE)
    await services.redis.set(keys.heartbeat("d"), b"\xff{")
    await holds(services, "dead", keys.CLUSTER_QUEUE)
    listed = await beats(services.redis)
    found = {beat.worker_id: beat for beat in listed}
    assert len(listed) == len(found)
    assert set(found) == {"a", "c"}
    assert (found["a"].cpu_percent, found["a"].last_minute) == (1.0, {})
    assert (found["c"].cpu_percent, found["c"].last_minute) == (None, None)


def test_heartbeats_add_up() -> None:
    """Shares are means over those that tell them; answers are sums over BRAiN's own queues."""
    minute = {keys.CLUSTER_QUEUE: Answered(3, 1, 2, 0.5), "mine": Answered(100, 100, 100, 1.0)}
    mission = {keys.MISSION_QUEUE: Answered(1, 0, 1, 1.5)}
    found = [
        Beat("a", cpu_percent=10.0, memory_percent=40.0, last_minute=minute),
        Beat("b", cpu_percent=20.0, last_minute=mission),
        Beat("c"),
    ]
    assert totals(found) == Totals(3, 15.0, 40.0, Answered(4, 1, 3, 2.0))
    assert totals([Beat("c")]) == Totals(1, None, None, None)
    assert totals([]) == Totals(0, None, None, None)
