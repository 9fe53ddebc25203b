"""Long tasks whose workers are killed in the middle go on where they stood."""

import itertools
import signal

import pytest
import redis

from runtime.redis import keys
from tests.chaos.evidence import Answers, Journal, assert_nothing_is_left, result_of
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push
from tests.servers import eventually

_STEPS = 20
_SAVED = keys.saved(keys.CLUSTER_QUEUE)


def _lines(journal: Journal, what: str) -> list[int]:
    """Return the numbers of all lines `<what>-<number>`, in order."""
    words = [line.split(" ", 1)[0].partition("-") for line in journal.path.read_text().splitlines()]
    return [int(number) for kind, _, number in words if kind == what]


def _state(client: redis.Redis, task_id: str) -> int:
    """Return the step that is saved for a task, 0 if none is."""
    return int((client.hget(_SAVED, task_id) or b"0 0").split()[1])


def _assert_done(
    client: redis.Redis, answers: Answers, journal: Journal, task_id: str, deaths: int
) -> None:
    done = _lines(journal, "step")
    assert set(done) == set(range(_STEPS))
    assert max(done.count(step) for step in range(_STEPS)) <= 1 + deaths
    # A death costs the step that was under way, and no other.
    assert len(done) <= _STEPS + deaths
    answer = result_of(client, task_id)
    assert (answer["success"], answer["attempt"]) == (True, 1)
    assert answer["result"]["from"] == _lines(journal, "from")[-1]
    eventually(lambda: len(answers) == 1, what="the answer is published")
    assert not answers.repeated()
    assert not client.exists(_SAVED)
    assert_nothing_is_left(client)


@pytest.mark.parametrize("task_type", ["steps", "steps.thread", "steps.process"])
def test_a_long_task_goes_on_where_its_killed_workers_left_it(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet, task_type: str
) -> None:
    """Twenty steps, two workers killed: each run starts where the saved state says."""
    worker = fleet.start()
    task_id = push(client, task_type, {"count": _STEPS, "ms": 100})
    starts = [0]
    for step in (5, 12):
        eventually(lambda step=step: _state(client, task_id) >= step, what=f"step {step}")
        worker.kill()
        fleet.workers.remove(worker)
        starts.append(_state(client, task_id))
        worker = fleet.start()
        eventually(lambda: len(_lines(journal, "from")) == len(starts), what="it goes on")

    eventually(lambda: result_of(client, task_id), what="it is answered")

    assert _lines(journal, "from") == starts
    assert starts[-1] >= 12
    _assert_done(client, answers, journal, task_id, deaths=2)
    fleet.stop()


def test_a_task_that_gets_on_outlives_more_workers_than_a_poison_pill(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet
) -> None:
    """Four workers die of it, one after the other; it saves in between, and is answered."""
    worker = fleet.start()
    task_id = push(client, "steps", {"count": _STEPS, "ms": 60})
    for deaths in itertools.count(1):
        before = _state(client, task_id)
        eventually(lambda before=before: _state(client, task_id) > before, what="it gets on")
        worker.kill()
        fleet.workers.remove(worker)
        worker = fleet.start()
        if deaths == 4:
            break

    eventually(lambda: result_of(client, task_id), what="it is answered")

    _assert_done(client, answers, journal, task_id, deaths=4)
    fleet.stop()


def test_a_long_task_goes_on_after_drains_and_a_suspension(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet
) -> None:
    """A drain gives it back in the middle; a suspended worker that wakes can't write over it."""
    worker = fleet.start("--grace", "0.1")
    task_id = push(client, "steps", {"count": _STEPS, "ms": 100})
    eventually(lambda: _state(client, task_id) >= 3, what="it gets on")
    fleet.stop()
    drained = _state(client, task_id)
    asleep = fleet.start()
    eventually(lambda: _state(client, task_id) >= drained + 3, what="it goes on after the drain")
    asleep.send(signal.SIGSTOP)
    held = _state(client, task_id)
    fleet.workers.remove(asleep)
    fleet.start()
    eventually(lambda: len(_lines(journal, "from")) == 3, what="it goes on elsewhere")
    asleep.send(signal.SIGCONT)
    # It finds out when it renews its lease, or by a save that comes first.
    found_out = ("was taken over by another worker", "Dropping an answer")
    eventually(lambda: any(text in asleep.log for text in found_out), what="it has found out")

    eventually(lambda: result_of(client, task_id), what="it is answered")

    assert _lines(journal, "from") == [0, drained, held]
    assert worker.process.returncode == 0
    _assert_done(client, answers, journal, task_id, deaths=2)
    asleep.send(signal.SIGTERM)
    assert asleep.wait() == 0, asleep.log
    fleet.stop()
