"""A pool that grows, shrinks and loses its processes: every task answered, none twice (I1, I2)."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from attrs import frozen

from runtime.redis import keys
from tests.chaos.evidence import Answers, Journal, assert_answered_once, inflight_keys
from tests.chaos.pool_process import PoolProcess, serving
from tests.chaos.producers import body, push
from tests.servers import Valkey, eventually

_MOST = 4
Start = Callable[..., PoolProcess]


@pytest.fixture
def start(server: Valkey, journal: Journal, tmp_path: Path) -> Iterator[Start]:
    """Starts a pool, whose log is shown when the test fails."""
    pools: list[PoolProcess] = []

    def starting(*options: str) -> PoolProcess:
        pools.append(PoolProcess(server.url, journal, tmp_path, *options))
        return pools[-1]

    yield starting
    for pool in pools:
        pool.close()
        print(pool.log)  # noqa: T201 - pytest shows it for failed tests only


@frozen
class Scale:
    """How long the test runs."""

    tasks: int
    kills: int


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(240, 2), id="short"),
        pytest.param(
            Scale(2000, 10), id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(600)]
        ),
    ],
)
def test_growing_and_shrinking_under_kills_lose_and_repeat_nothing(
    client: redis.Redis, answers: Answers, start: Start, scale: Scale
) -> None:
    """A pool whose workers are killed grows, answers each task once, and shrinks to one worker."""
    chance = random.Random(scale.tasks)
    pool = start("--min", "1", "--max", str(_MOST), "--concurrency", "2")
    eventually(lambda: serving(client) == 1, what="the first worker serves")
    bodies = [body("work", {"ms": 100}) for _ in range(scale.tasks)]
    ids = [json.loads(raw)["id"] for raw in bodies]
    pushed = time.monotonic()
    client.rpush(keys.CLUSTER_QUEUE, *bodies)

    eventually(lambda: len(pool.workers()) == _MOST, what="the pool grows")
    grown = time.monotonic()
    for number in range(1, scale.kills + 1):
        enough = scale.tasks * number // (scale.kills + 1)
        eventually(lambda enough=enough: len(answers) >= enough, 120, what=f"{enough} answered")
        pool.kill_one(chance)
    eventually(lambda: len(answers) >= scale.tasks, 120, what="every task answered")
    last = time.monotonic()
    eventually(lambda: len(pool.workers()) == 1, 60, what="the pool shrinks")

    print(  # noqa: T201 - the figures, for who runs it with -s
        f"{_MOST} processes {grown - pushed:.1f} s after the push, "
        f"1 process {time.monotonic() - last:.1f} s after the last of {scale.tasks} answers"
    )
    assert_answered_once(client, answers, ids)
    assert pool.stop() == 0
    assert not serving(client)


def test_a_killed_supervisor_leaves_no_worker(
    client: redis.Redis, journal: Journal, start: Start
) -> None:
    """With its supervisor killed by SIGKILL every worker ends, and what they held is kept."""
    pool = start("--min", "2", "--max", "2", "--concurrency", "1")
    eventually(lambda: serving(client) == 2, what="two workers serve")
    for number in range(2):
        push(client, "work", {"ms": 600_000}, f"long-{number}")
        journal.wait_begun(f"long-{number}")
    assert len(pool.workers()) == 2

    os.kill(pool.process.pid, signal.SIGKILL)

    eventually(lambda: not pool.left(), 5, what="every worker has ended")
    assert [client.llen(key) for key in inflight_keys(client)] == [1, 1]


def test_a_killed_worker_is_replaced(client: redis.Redis, start: Start) -> None:
    """A worker that was killed is named with the signal, and another one serves in its place."""
    pool = start("--min", "2", "--max", "2")
    eventually(lambda: serving(client) == 2, what="two workers serve")
    before = pool.workers()
    pool.kill_one(random.Random(1))
    pool.says("was ended by signal 9 (SIGKILL), another one starts in 0.25 s")
    eventually(lambda: len(pool.workers()) == 2, what="two workers live")
    assert len(pool.workers() & before) == 1
    pool.says("takes tasks\n", times=3)
    assert pool.stop() == 0


def test_a_stop_drains_and_a_second_one_hurries(
    client: redis.Redis, journal: Journal, start: Start
) -> None:
    """SIGTERM lets workers finish what they run; a second one gives it back; the pool ends."""
    pool = start("--max", "1", "--grace", "600")
    eventually(lambda: serving(client) == 1, what="the worker serves")
    push(client, "work", {"ms": 600_000}, "endless")
    journal.wait_begun("endless")

    pool.process.send_signal(signal.SIGTERM)
    pool.says("Stopping 1 worker,")
    pool.says("Stopping: the task running has up to 600 s")
    pool.process.send_signal(signal.SIGTERM)

    assert pool.process.wait(30) == 0
    assert client.llen(keys.CLUSTER_QUEUE) == 1


def test_a_burst_ends_when_the_queue_is_empty(
    client: redis.Redis, answers: Answers, start: Start
) -> None:
    """With --burst the pool ends with 0 when all is answered."""
    client.rpush(keys.CLUSTER_QUEUE, *(body("work", {"ms": 1}) for _ in range(50)))
    pool = start("--burst", "--max", "2")
    assert pool.process.wait(60) == 0
    eventually(lambda: len(answers) == 50, what="every task answered")


def test_a_server_that_is_away_changes_nothing(
    server: Valkey, client: redis.Redis, start: Start
) -> None:
    """While the server is gone the pool keeps its workers, says so once, and goes on later."""
    pool = start("--min", "2", "--max", "3")
    eventually(lambda: serving(client) == 2, what="two workers serve")
    before = pool.workers()

    server.kill()
    pool.says("The pool stays as it is while it sees no queue")
    server.start()

    task_id = push(client, "work", {"ms": 1})
    eventually(lambda: client.exists(keys.result(task_id)), what="the task is answered")
    assert pool.workers() == before
    assert pool.log.count("The pool stays as it is") <= 2
    assert pool.stop() == 0
