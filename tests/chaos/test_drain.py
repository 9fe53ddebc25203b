"""The end of a worker process on SIGTERM (I3, I6, I7, I8)."""

import signal

import pytest
import redis

from runtime.redis import keys
from tests.chaos.evidence import Answers, Journal, inflight_keys
from tests.chaos.fleet import Fleet, WorkerProcess
from tests.chaos.producers import body
from tests.servers import Valkey, eventually

_SLOTS = 2
_WAITING = 20


def _ids(client: redis.Redis) -> list[bytes]:
    return list(client.lrange(keys.CLUSTER_QUEUE, 0, -1))


def _load(client: redis.Redis, fast: int, task_type: str, payload: dict[str, float]) -> list[bytes]:
    """Push fast tasks, that teach the worker to fetch ahead, and then slow ones."""
    slow = [body(task_type, payload, f"slow-{n}") for n in range(_SLOTS + _WAITING)]
    quick = [body("work", {"ms": 0}, f"fast-{n}") for n in range(fast)]
    client.rpush(keys.CLUSTER_QUEUE, *quick, *slow)
    return slow


def _when_slow_ones_run(journal: Journal) -> None:
    for number in range(_SLOTS):
        journal.wait_begun(f"slow-{number}")


def _assert_gone(client: redis.Redis, worker: WorkerProcess) -> None:
    """Check that nothing of an orderly ended worker is left."""
    assert not inflight_keys(client)
    assert not client.exists(
        keys.leases(keys.CLUSTER_QUEUE),
        keys.holders(keys.CLUSTER_QUEUE),
        keys.heartbeat(worker.worker_id),
    )


@pytest.mark.parametrize("fast", [0, 400])
def test_what_runs_is_finished_and_what_waits_goes_back(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet, fast: int
) -> None:
    """On SIGTERM two running tasks are answered, the others lie in the queue in their old order."""
    worker = fleet.start("--concurrency", str(_SLOTS))
    slow = _load(client, fast, "work", {"ms": 1000})
    _when_slow_ones_run(journal)

    worker.send(signal.SIGTERM)

    assert worker.wait() == 0, worker.log
    assert _ids(client) == slow[_SLOTS:]
    eventually(lambda: len(answers) == fast + _SLOTS, what="the running ones are answered")
    assert {"slow-0", "slow-1"} <= set(answers.bodies)
    assert set(journal.begun().values()) == {1}
    _assert_gone(client, worker)


@pytest.mark.parametrize("fast", [0, 400])
@pytest.mark.parametrize(
    ("task_type", "payload"),
    [
        pytest.param("work", {"ms": 600_000}, id="async"),
        pytest.param("thread", {"seconds": 600}, id="thread"),
    ],
)
def test_what_outlasts_the_grace_goes_back_unchanged(  # noqa: PLR0917 - fixtures
    client: redis.Redis,
    answers: Answers,
    journal: Journal,
    fleet: Fleet,
    fast: int,
    task_type: str,
    payload: dict[str, float],
) -> None:
    """With a grace shorter than the tasks all are back, in order, to the byte; the process ends."""
    worker = fleet.start("--concurrency", str(_SLOTS), "--grace", "0.5")
    slow = _load(client, fast, task_type, payload)
    _when_slow_ones_run(journal)

    worker.send(signal.SIGTERM)

    assert worker.wait(20) == 0, worker.log
    assert _ids(client) == slow
    assert len(answers) == fast
    _assert_gone(client, worker)


def test_a_second_signal_skips_the_grace(
    client: redis.Redis, journal: Journal, fleet: Fleet
) -> None:
    """A second SIGTERM ends the wait for running tasks; they go back to the queue."""
    worker = fleet.start("--concurrency", str(_SLOTS), "--grace", "600")
    slow = _load(client, 0, "work", {"ms": 600_000})
    _when_slow_ones_run(journal)

    worker.send(signal.SIGTERM)
    # Two signals that are pending at the same time are one.
    worker.says("a second signal hurries")
    eventually(lambda: _ids(client) == slow[_SLOTS:], what="the first signal is obeyed")
    worker.send(signal.SIGTERM)

    assert worker.wait(20) == 0, worker.log
    assert _ids(client) == slow


def test_a_stop_without_a_server_ends_too(
    server: Valkey, client: redis.Redis, journal: Journal, fleet: Fleet
) -> None:
    """Stopped while its server is gone, a worker names what it couldn't settle and exits with 1."""
    worker = fleet.start("--concurrency", str(_SLOTS), "--grace", "1")
    # Behind the blocker lie tasks that were fetched and that no lease covers any more.
    blocked = [body("work", {"ms": 0}, f"fast-{n}") for n in range(400)]
    blocked += [body("block", {"seconds": 4}, f"slow-{n}") for n in range(_SLOTS)]
    blocked += [body("work", {"ms": 0}, f"late-{n}") for n in range(100)]
    client.rpush(keys.CLUSTER_QUEUE, *blocked)
    journal.wait_begun("slow-0")

    server.kill()
    worker.says("turns again")
    worker.send(signal.SIGTERM)

    assert worker.wait(40) == 1, worker.log
    assert "could not be settled" in worker.log
    assert "slow-0" in worker.log.partition("could not be settled")[2]
    # Another worker may have had it by then: no lease, no beginning.
    assert not journal.begun()["slow-1"]
