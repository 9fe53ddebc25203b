"""An update as Coolify does it: a new worker, its health check, then SIGTERM for an old one."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.chaos.evidence import Answers, Journal, assert_answered_once
from tests.chaos.fleet import Fleet, WorkerProcess
from tests.chaos.producers import push, push_work
from tests.polling import eventually
from tests.servers import Valkey

_SLOTS = "4"
_PAUSE = 0.1
"""Seconds between two of the producer's batches, which keep 7 of 12 slots busy."""


class _Producer:
    """Pushes tasks for as long as it is entered."""

    def __init__(self, server: Valkey) -> None:
        self.ids: list[str] = []
        self._server = server
        self._ending = threading.Event()

    @contextmanager
    def pushing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._push, name="producer")
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()

    def _push(self) -> None:
        chance = random.Random(5)
        with self._server.client() as client:
            while not self._ending.is_set():
                self.ids += push_work(client, 6, chance)
                # Long enough to run while its worker is asked to end.
                self.ids.append(push(client, "work", {"ms": 400}))
                self._ending.wait(_PAUSE)


def _healthy(worker: WorkerProcess, state: Path) -> bool:
    command = [sys.executable, "-m", "runtime", "health", "--worker-id", worker.worker_id]
    done = subprocess.run(
        [*command, "--state-dir", str(state)], check=False, capture_output=True, text=True
    )
    return done.returncode == 0


def _busy(worker: WorkerProcess, journal: Journal) -> bool:
    begun, ended = (
        sum(run.pid == worker.pid for run in journal.runs(what)) for what in ("begin", "end")
    )
    return begun > ended


def test_workers_replaced_one_after_the_other(  # noqa: PLR0917 - fixtures
    server: Valkey,
    client: redis.Redis,
    answers: Answers,
    journal: Journal,
    fleet: Fleet,
    tmp_path: Path,
) -> None:
    """While three workers are replaced under load nothing is lost, and nothing runs twice."""
    old = fleet.start_many(3, "--concurrency", _SLOTS)
    producer = _Producer(server)
    with producer.pushing():
        eventually(lambda: len(journal.begun()) > 50, what="the load runs")
        for leaving in old:
            new = fleet.launch("--concurrency", _SLOTS)
            eventually(lambda new=new: _healthy(new, tmp_path / "state"), what=f"{new} is healthy")
            eventually(lambda leaving=leaving: _busy(leaving, journal), what=f"{leaving} is busy")
            leaving.send(signal.SIGTERM)
            assert leaving.wait() == 0, leaving.log
            fleet.workers.remove(leaving)
    eventually(lambda: len(answers) >= len(producer.ids), what="all is answered")

    assert_answered_once(client, answers, producer.ids)
    assert set(journal.begun().values()) == {1}
    fleet.stop()
