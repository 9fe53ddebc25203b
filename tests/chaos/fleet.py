"""Real worker processes that tests start, suspend and kill."""

import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import redis

from runtime.redis import keys
from tests.chaos.evidence import Journal
from tests.polling import eventually

_ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """One worker in a process of its own, its log in a file."""

    def __init__(
        self, worker_id: str, url: str, journal: Journal, log: Path, options: list[str]
    ) -> None:
        self.worker_id = worker_id
        self._log = log
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"REDIS_URL", "DATABASE_URL", "WORKER_ID", "WORKER_CONCURRENCY"}
        }
        command = [sys.executable, "-m", "runtime", "--redis-url", url, "--worker-id", worker_id]
        command += ["--handlers", "tests.chaos.handlers:handlers", *options]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=_ROOT,
                env={
                    **environment,
                    "CHAOS_JOURNAL": str(journal.path),
                    "BRAIN_STATE_DIR": str(log.parent / "state"),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __repr__(self) -> str:
        return f"WorkerProcess({self.worker_id!r}, pid={self.pid})"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="replace")

    def send(self, sign: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(sign)

    def kill(self) -> None:
        """End it without a word, suspended or not."""
        self.process.kill()
        self.process.wait(30)

    def wait(self, timeout: float = 60) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(timeout)

    def says(self, text: str, timeout: float = 30) -> None:
        """Wait until its log holds a text."""
        eventually(lambda: text in self.log, timeout, what=f"{self} says {text!r}:\n{self.log}")


class Fleet:
    """The workers of a test: none outlives it."""

    def __init__(self, url: str, client: redis.Redis, journal: Journal, directory: Path) -> None:
        self.workers: list[WorkerProcess] = []
        self._url = url
        self._client = client
        self._journal = journal
        self._directory = directory
        self._numbers = itertools.count(1)
        self._everyone: list[WorkerProcess] = []

    def launch(
        self, *options: str, url: str | None = None, worker_id: str | None = None
    ) -> WorkerProcess:
        """Start a worker and go on before it serves."""
        number = next(self._numbers)
        worker = WorkerProcess(
            worker_id or f"worker-{number}",
            url or self._url,
            self._journal,
            self._directory / f"worker-{number}.log",
            list(options),
        )
        self.workers.append(worker)
        self._everyone.append(worker)
        return worker

    def start(
        self, *options: str, url: str | None = None, worker_id: str | None = None
    ) -> WorkerProcess:
        """Start a worker and wait until it serves."""
        worker = self.launch(*options, url=url, worker_id=worker_id)
        eventually(lambda: self.holder(worker), what=f"{worker} serves")
        return worker

    def start_many(self, count: int, *options: str) -> list[WorkerProcess]:
        """Start workers side by side and wait until all serve."""
        workers = [self.launch(*options) for _ in range(count)]
        for worker in workers:
            eventually(lambda worker=worker: self.holder(worker), what=f"{worker} serves")
        return workers

    def holder(self, worker: WorkerProcess, queue: str = keys.CLUSTER_QUEUE) -> str | None:
        """Return the name under which a worker holds tasks, or None while it owns no lease."""
        assert worker.process.poll() is None, f"{worker} has ended:\n{worker.log}"
        for holder in self._client.hkeys(keys.leases(queue)):
            if holder.decode().startswith(f"{worker.worker_id}#"):
                return holder.decode()
        return None

    def replace(self, worker: WorkerProcess, *options: str, url: str | None = None) -> None:
        """Kill a worker without warning and start another one in its place."""
        worker.kill()
        self.workers.remove(worker)
        self.launch(*options, url=url)

    def victim(self, chance: random.Random) -> WorkerProcess:
        """Choose a worker."""
        return chance.choice(self.workers)

    def logs(self) -> str:
        """Return what all workers have logged, those that were killed included."""
        return "\n".join(f"--- {worker}\n{worker.log}" for worker in self._everyone)

    def stop(self) -> None:
        """Stop all workers in an orderly way; each must exit with 0."""
        for worker in self.workers:
            # One that is still starting has no handler for the signal yet.
            eventually(lambda worker=worker: self.holder(worker), what=f"{worker} serves")
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            code = worker.wait()
            assert code == 0, f"{worker} exited with {code}:\n{worker.log}"
        self.workers.clear()

    def close(self) -> None:
        """Kill whoever is left."""
        for worker in self._everyone:
            worker.kill()
