"""Workers that stand still: a handler that blocks the event loop, a suspended process (I2, I5)."""

import re
import signal
import time
from pathlib import Path

import pytest
import redis

from runtime.redis import keys
from tests.chaos.evidence import (
    Answers,
    Journal,
    assert_answered_once,
    inflight_keys,
    result_of,
)
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push
from tests.servers import eventually


def _pass(seconds: float) -> None:
    """Let time pass that is part of the fault itself."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, seconds + 60)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(6, id="short"),
        pytest.param(20, id="soak", marks=pytest.mark.soak),
    ],
)
def test_a_handler_that_blocks_the_loop_runs_once(
    client: redis.Redis, answers: Answers, journal: Journal, fleet: Fleet, seconds: int
) -> None:
    """A handler that blocks the loop for longer than the lapse keeps its task, and is named."""
    fleet.start_many(2)
    task = push(client, "block", {"seconds": seconds})

    eventually(lambda: len(answers) == 1, 60, what="the task is answered")

    assert_answered_once(client, answers, [task])
    (run,) = journal.runs()
    blocked = next(worker for worker in fleet.workers if worker.pid == run.pid)
    assert result_of(client, task)["worker_id"] == blocked.worker_id
    source = Path(__file__).with_name("handlers.py").read_text().splitlines()
    line = next(n for n, text in enumerate(source, 1) if "noqa: ASYNC251" in text)
    assert re.search(rf"{task}: \S*/tests/chaos/handlers\.py:{line} in block", blocked.log)
    fleet.stop()


@pytest.mark.parametrize(
    ("steps", "seconds", "ending"),
    [
        # Its time is over when it wakes: the handler ends before anybody can cancel it.
        pytest.param(1, 0, "Dropping an answer", id="drops"),
        pytest.param(100, 0, "its handler is cancelled", id="cancels"),
        pytest.param(1, 15, "Dropping an answer", id="drops-soak", marks=pytest.mark.soak),
        pytest.param(
            100, 15, "its handler is cancelled", id="cancels-soak", marks=pytest.mark.soak
        ),
    ],
)
def test_a_suspended_worker_comes_too_late(  # noqa: PLR0917 - fixtures
    client: redis.Redis,
    answers: Answers,
    journal: Journal,
    fleet: Fleet,
    steps: int,
    seconds: int,
    ending: str,
) -> None:
    """A task whose worker is suspended runs elsewhere; the late worker cancels or drops its own."""
    suspended = fleet.start("--concurrency", "1")
    task = push(client, "work", {"ms": 3000 / steps, "steps": steps})
    journal.wait_begun(task)
    other = fleet.start("--concurrency", "1")

    suspended.send(signal.SIGSTOP)
    if steps == 1:
        eventually(lambda: len(answers) == 1, 60, what="the task is answered elsewhere")
    else:
        journal.wait_begun(task, times=2)
    _pass(seconds)
    suspended.send(signal.SIGCONT)

    suspended.says(ending)
    eventually(lambda: len(answers) == 1, 60, what="the task is answered")
    assert result_of(client, task)["worker_id"] == other.worker_id
    assert_answered_once(client, answers, [task])
    assert journal.begun()[task] == 2
    fleet.stop()


@pytest.mark.parametrize(
    ("seconds", "then"),
    [
        (0, signal.SIGKILL),
        (0, signal.SIGCONT),
        (2, signal.SIGCONT),
        pytest.param(2, signal.SIGKILL, marks=pytest.mark.soak),
        pytest.param(10, signal.SIGKILL, marks=pytest.mark.soak),
        pytest.param(10, signal.SIGCONT, marks=pytest.mark.soak),
    ],
)
def test_a_push_to_a_suspended_idle_worker_is_answered_once(
    client: redis.Redis, answers: Answers, fleet: Fleet, seconds: int, then: signal.Signals
) -> None:
    """A task that a suspended worker's wait takes is answered once, whatever becomes of it."""
    suspended = fleet.start("--concurrency", "1")
    # Its wait is pending on the server, which doesn't see that the client is suspended.
    eventually(lambda: client.info("clients")["blocked_clients"] == 1, what="the worker waits")
    suspended.send(signal.SIGSTOP)
    task = push(client, "work", {"ms": 10})
    assert inflight_keys(client), "the suspended worker's wait has taken the task"
    fleet.start("--concurrency", "1")
    _pass(seconds)
    suspended.send(then)

    eventually(lambda: len(answers) == 1, 60, what="the task is answered")
    assert_answered_once(client, answers, [task])
    if then is signal.SIGKILL:
        suspended.kill()
        fleet.workers.remove(suspended)
    fleet.stop()
    assert not client.exists(keys.leases(keys.CLUSTER_QUEUE))
