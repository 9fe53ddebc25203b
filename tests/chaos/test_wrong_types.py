"""Keys that somebody has overwritten with another type: survived, reported, nothing lost."""

import signal
from collections.abc import Callable

import pytest
import redis

from runtime.redis import keys
from tests.chaos.evidence import Answers, assert_answered_once, inflight_keys, result_of
from tests.chaos.fleet import Fleet
from tests.chaos.producers import body, push
from tests.servers import eventually

_OTHER = "brain:mission_tasks"


def test_a_queue_that_is_no_list(client: redis.Redis, answers: Answers, fleet: Fleet) -> None:
    """A worker whose queue is a string says so, and goes on when it is a list again."""
    worker = fleet.start()
    client.set(keys.CLUSTER_QUEUE, b"not a list")
    worker.says("WRONGTYPE")
    assert worker.process.poll() is None
    client.delete(keys.CLUSTER_QUEUE)

    task = push(client, "work", {"ms": 0})

    eventually(lambda: len(answers) == 1, what="the task is answered")
    assert_answered_once(client, answers, [task])
    fleet.stop()


@pytest.mark.parametrize("order", ["--strict-order", None])
def test_a_broken_queue_starves_no_other(
    client: redis.Redis, answers: Answers, fleet: Fleet, order: str | None
) -> None:
    """A worker goes on serving its second queue while the first is no list."""
    client.set(keys.CLUSTER_QUEUE, b"not a list")
    queues = f"{keys.CLUSTER_QUEUE},{_OTHER}"
    worker = fleet.start("--queues", queues, *([order] if order else []))
    worker.says("WRONGTYPE")

    tasks = [push(client, "work", {"ms": 0}, queue=_OTHER) for _ in range(10)]

    eventually(lambda: len(answers) == 10, what="the tasks of the other queue are answered")
    assert set(answers.bodies) == set(tasks)
    assert client.get(keys.CLUSTER_QUEUE) == b"not a list"
    client.delete(keys.CLUSTER_QUEUE)
    fleet.stop()


def test_a_queue_that_stops_being_a_list_while_tasks_run(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """What is held while the queue is a string is answered, and what can't go back isn't lost."""
    worker = fleet.start("--concurrency", "2", "--grace", "0.5")
    running = [push(client, "work", {"ms": 600_000}, f"running-{n}") for n in range(2)]
    eventually(lambda: all(task in worker.log for task in running), what="both run")
    client.set(keys.CLUSTER_QUEUE, b"not a list")

    worker.send(signal.SIGTERM)

    # They couldn't go back: that is no clean end.
    assert worker.wait() == 1, worker.log
    assert "WRONGTYPE" in worker.log
    assert "running-0" in worker.log.partition("could not be settled")[2]
    fleet.workers.remove(worker)
    client.delete(keys.CLUSTER_QUEUE)
    other = fleet.start("--grace", "0.5")
    eventually(lambda: all(task in other.log for task in running), what="both run elsewhere")
    other.send(signal.SIGTERM)
    assert other.wait() == 0, other.log
    assert len(client.lrange(keys.CLUSTER_QUEUE, 0, -1)) == 2
    assert not answers.bodies
    fleet.workers.remove(other)


def test_a_dead_letter_key_that_is_no_stream(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """What can't be put away is kept, stops no other answer, and is put away after the repair."""
    dead = keys.dead(keys.CLUSTER_QUEUE)
    client.set(dead, b"not a stream")
    worker = fleet.start()
    client.rpush(keys.CLUSTER_QUEUE, b"no task")
    worker.says("WRONGTYPE")

    tasks = [push(client, "work", {"ms": 0}) for _ in range(50)]

    eventually(lambda: len(answers) == 50, what="good tasks are answered meanwhile")
    assert set(answers.bodies) == set(tasks)
    (held,) = inflight_keys(client)
    assert client.lrange(held, 0, -1) == [b"no task"]
    client.delete(dead)
    eventually(lambda: client.xlen(dead) == 1, what="it is put away after the repair")
    eventually(lambda: not inflight_keys(client))
    fleet.stop()


def test_a_result_key_of_another_type(client: redis.Redis, answers: Answers, fleet: Fleet) -> None:
    """A result replaces whatever lies under its key."""
    client.rpush(keys.result("taken"), "somebody", "else's")
    fleet.start()
    push(client, "work", {"ms": 0}, "taken")

    eventually(lambda: len(answers) == 1, what="the task is answered")
    assert_answered_once(client, answers, ["taken"])
    assert client.ttl(keys.result("taken")) > 0
    fleet.stop()


def test_a_heartbeat_key_of_another_type(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """A heartbeat replaces what lies under its key; at the end only the worker's own is removed."""
    key = keys.heartbeat("named")
    client.rpush(key, "not a heartbeat")
    worker = fleet.start(worker_id="named")
    eventually(lambda: client.type(key) == b"string", what="the heartbeat is there")
    client.delete(key)
    client.rpush(key, "not a heartbeat")
    task = push(client, "work", {"ms": 0})
    eventually(lambda: len(answers) == 1, what="the task is answered")
    assert_answered_once(client, answers, [task])

    fleet.stop()

    assert client.lrange(key, 0, -1) == [b"not a heartbeat"]
    assert not client.exists(keys.leases(keys.CLUSTER_QUEUE)), worker.log


def test_an_inflight_key_of_another_type(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """A worker that can't hold tasks takes none, says why, and goes on after the repair."""
    worker = fleet.start()
    inflight = keys.inflight(keys.CLUSTER_QUEUE, fleet.holder(worker) or "")
    client.set(inflight, b"not a list")
    task = push(client, "work", {"ms": 0})
    worker.says("WRONGTYPE")
    assert client.llen(keys.CLUSTER_QUEUE) == 1
    client.delete(inflight)

    eventually(lambda: len(answers) == 1, what="the task is answered")
    assert_answered_once(client, answers, [task])
    fleet.stop()


@pytest.mark.parametrize("key", [keys.leases, keys.holders])
def test_lease_keys_of_another_type(
    client: redis.Redis, answers: Answers, fleet: Fleet, key: Callable[[str], str]
) -> None:
    """A worker that can't renew its lease says why, and goes on after the repair."""
    worker = fleet.start()
    name = key(keys.CLUSTER_QUEUE)
    client.delete(name)
    client.set(name, b"neither hash nor set")
    worker.says("WRONGTYPE")
    task = push(client, "work", {"ms": 0})
    client.delete(name)

    eventually(lambda: len(answers) == 1, what="the task is answered")
    assert_answered_once(client, answers, [task])
    fleet.stop()


def test_a_batch_number_of_another_type(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """An answer that the server refuses is kept, and stored after the repair."""
    worker = fleet.start()
    settled = keys.settled(keys.CLUSTER_QUEUE, fleet.holder(worker) or "")
    client.rpush(settled, "not a string")
    task = push(client, "work", {"ms": 0})
    worker.says("WRONGTYPE")
    client.delete(settled)

    eventually(lambda: len(answers) == 1, what="the task is answered")
    assert_answered_once(client, answers, [task])
    fleet.stop()


def test_one_broken_list_hides_no_other_dead_worker(
    client: redis.Redis, answers: Answers, fleet: Fleet
) -> None:
    """Tasks of a dead worker come back though another dead worker's list is no list."""
    workers = fleet.start_many(2, "--concurrency", "1")
    # In the order in which the server tells of them: the broken one comes first.
    holders = client.hkeys(keys.leases(keys.CLUSTER_QUEUE))
    for worker in workers:
        worker.kill()
    fleet.workers.clear()
    broken, whole = (keys.inflight(keys.CLUSTER_QUEUE, holder.decode()) for holder in holders)
    client.set(broken, b"not a list")
    client.rpush(whole, body("work", {"ms": 0}, "kept"))
    rescuer = fleet.start()

    eventually(lambda: len(answers) == 1, what="the task of the other one is answered")
    rescuer.says("WRONGTYPE")
    assert result_of(client, "kept")["worker_id"] == rescuer.worker_id
    client.delete(broken)
    client.rpush(broken, body("work", {"ms": 0}, "repaired"))
    eventually(lambda: len(answers) == 2, what="the list is recovered after its repair")
    assert_answered_once(client, answers, ["kept", "repaired"])
    fleet.stop()
