"""A network that cuts and freezes connections under load (I1, I2, I5)."""

import random
import time

import pytest
import redis
from attrs import frozen

from tests.chaos.evidence import Answers, Journal, answered, assert_answered_once, result_of
from tests.chaos.fleet import Fleet
from tests.chaos.network import bad_network
from tests.chaos.producers import push, push_work
from tests.servers import Valkey, eventually

_WORKERS = 4


@frozen
class Scale:
    """How long the test runs, and how long one worker's links are frozen, in seconds."""

    tasks: int
    freeze: float


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(500, 5.5), id="short"),
        pytest.param(
            Scale(2000, 8.0), id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(900)]
        ),
    ],
)
def test_cuts_and_a_freeze_lose_and_repeat_no_answer(
    server: Valkey, client: redis.Redis, answers: Answers, fleet: Fleet, scale: Scale
) -> None:
    """Connections cut at random and a frozen worker leave every task with exactly one answer."""
    with bad_network(server.socket, seed=scale.tasks) as network:
        gateways = [network.gateway() for _ in range(_WORKERS)]
        workers = [fleet.launch(url=gateway.url) for gateway in gateways]
        for worker in workers:
            eventually(lambda worker=worker: fleet.holder(worker), what=f"{worker} serves")
        ids = push_work(client, scale.tasks, random.Random(scale.tasks))
        for gateway in gateways:
            gateway.cut_rate = 0.02
        eventually(lambda: answered(client, ids) >= scale.tasks // 4, 60)

        gateways[0].freeze()
        thaw = time.monotonic() + scale.freeze
        eventually(lambda: time.monotonic() > thaw, what="the freeze is over")
        gateways[0].thaw()

        eventually(lambda: answered(client, ids) == scale.tasks, 240, what="every task answered")
        # Of each the share is left to chance; the frozen one had the fewest chances.
        assert sum(gateway.cuts for gateway in gateways) > len(gateways)
        for gateway in gateways:
            gateway.cut_rate = 0.0
        assert_answered_once(client, answers, ids)
        fleet.stop()


def test_a_frozen_worker_learns_that_its_task_was_taken_over(
    server: Valkey, client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet
) -> None:
    """A worker cancels what was taken over, though a late renewal makes its lease look unbroken."""
    with bad_network(server.socket, seed=0) as network:
        gateway = network.gateway()
        frozen_one = fleet.start("--concurrency", "1", url=gateway.url)
        task = push(client, "work", {"ms": 50, "steps": 180})
        journal.wait_begun(task)
        other = fleet.start("--concurrency", "1")

        gateway.freeze()
        journal.wait_begun(task, times=2)
        # The renewal that is held back reaches the server before the next one.
        gateway.thaw()

        frozen_one.says(f"Task {task} was taken over by another worker; its handler is cancelled")
        eventually(lambda: len(answers) == 1, 60, what="the task is answered")
        assert result_of(client, task)["worker_id"] == other.worker_id
        assert_answered_once(client, answers, [task])
        assert [run.pid for run in journal.runs("end")] == [other.pid]
        fleet.stop()
