"""Tasks that fail, and what an operator does about them."""

import json
from pathlib import Path

import redis

from runtime.redis import keys
from tests.chaos.commands import command
from tests.chaos.evidence import Answers, Journal, assert_nothing_is_left, result_of
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push
from tests.servers import Valkey, eventually


def test_a_task_that_fails_twice_is_answered_once(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet
) -> None:
    """Two failures and a success: three runs, one answer, which tells its attempt."""
    worker = fleet.start()
    task_id = push(client, "fail", {"times": 2})

    eventually(lambda: result_of(client, task_id), what="it is answered")

    answer = result_of(client, task_id)
    assert (answer["success"], answer["attempt"]) == (True, 3)
    assert journal.begun()[task_id] == 3
    eventually(lambda: len(answers) == 1, what="the answer is published")
    assert not answers.repeated()
    assert "attempt 1 has no luck" in worker.log
    assert_nothing_is_left(client)
    fleet.stop()


def test_a_task_that_always_fails_is_put_away_and_sent_again(
    server: Valkey, client: redis.Redis, journal: Journal, fleet: Fleet, tmp_path: Path
) -> None:
    """Three failures: a dead letter that tells each, an answer; after the fix, a success."""
    fleet.start()
    fixed = tmp_path / "fixed"
    task_id = push(client, "fail", {"until": str(fixed)})

    eventually(lambda: result_of(client, task_id), what="it is answered")
    answer = result_of(client, task_id)
    assert (answer["success"], answer["attempt"]) == (False, 3)
    assert answer["result"]["error"] == "attempt 3 has no luck"
    letter = json.loads(command(server, "dead", "show", task_id, "--json"))
    assert letter["reason"] == "attempts_exhausted"
    shown = json.dumps(letter)
    for attempt in (1, 2, 3):
        assert f"attempt {attempt} has no luck" in shown

    fixed.touch()
    command(server, "dead", "requeue", task_id)

    eventually(lambda: result_of(client, task_id).get("success"), what="it succeeds")
    assert journal.begun()[task_id] == 4
    assert result_of(client, task_id)["result"] == {"attempt": 1}
    assert client.xlen(keys.dead(keys.CLUSTER_QUEUE)) == 0
    fleet.stop()


def test_a_poison_pill_takes_no_neighbour_along(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet
) -> None:
    """A task that ends its worker does so three times; a hundred tasks around it are answered."""
    good = [push(client, "work", {"ms": 100}) for _ in range(50)]
    pill = push(client, "poison", {})
    good += [push(client, "work", {"ms": 100}) for _ in range(50)]
    options = ("--concurrency", "8")
    workers = [fleet.launch(*options), fleet.launch(*options)]

    def supervised() -> bool:
        for number, worker in enumerate(workers):
            if worker.process.poll() is not None:
                fleet.workers.remove(worker)
                workers[number] = fleet.launch(*options)
        return len(answers) == 101

    eventually(supervised, 100, what="all are answered")
    (entry,) = client.xrange(keys.dead(keys.CLUSTER_QUEUE))
    fields = entry[1]
    assert (fields[b"task_id"], fields[b"reason"]) == (pill.encode(), b"poison_pill")
    assert fields[b"deaths"] == b"3"
    assert journal.begun()[pill] == 3
    assert all(result_of(client, task_id)["success"] for task_id in good)
    assert not result_of(client, pill)["success"]
    assert not answers.repeated()
    fleet.stop()
