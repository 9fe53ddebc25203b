"""A network that cuts and freezes connections under load (I1, I2, I5)."""

import random
import time

import pytest
import redis
from attrs import frozen

from tests.chaos.evidence import Answers, answered, assert_answered_once
from tests.chaos.fleet import Fleet
from tests.chaos.network import bad_network
from tests.chaos.producers import push_work
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
        assert all(gateway.cuts for gateway in gateways), [gateway.cuts for gateway in gateways]
        for gateway in gateways:
            gateway.cut_rate = 0.0
        assert_answered_once(client, answers, ids)
        fleet.stop()
