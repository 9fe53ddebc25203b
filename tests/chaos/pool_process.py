"""A pool that tests start, look into, and kill."""

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


class PoolProcess:
    """A pool in a process of its own; none of its processes outlives the test."""

    def __init__(self, url: str, journal: Journal, directory: Path, *options: str) -> None:
        self._log = directory / "pool.log"
        self._everyone: set[int] = set()
        ours = {"REDIS_URL", "DATABASE_URL", "WORKER_ID", "WORKER_CONCURRENCY"}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        command = [sys.executable, "-m", "runtime", "pool", "--redis-url", url]
        command += ["--worker-id", "pool", "--handlers", "tests.chaos.handlers:handlers", *options]
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=_ROOT,
                env={
                    **environment,
                    "CHAOS_JOURNAL": str(journal.path),
                    "BRAIN_STATE_DIR": str(directory / "state"),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What the pool and its workers have logged so far."""
        return self._log.read_text(errors="replace")

    def says(self, text: str, times: int = 1) -> None:
        """Wait until the log holds a text so often."""
        eventually(
            lambda: self.log.count(text) >= times, what=f"the pool says {text!r}:\n{self.log}"
        )

    def workers(self) -> set[int]:
        """Return the process ids of the workers that live."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _is_worker_of(int(entry.name), self.process.pid):
                found.add(int(entry.name))
        self._everyone |= found
        return found

    def left(self) -> set[int]:
        """Return the workers that were ever seen and still live, whoever is their parent now."""
        return {pid for pid in self._everyone if _runs(pid)}

    def kill_one(self, chance: random.Random) -> None:
        """Kill a worker without warning."""
        os.kill(chance.choice(sorted(self.workers())), signal.SIGKILL)

    def stop(self, timeout: float = 60) -> int:
        """Ask for the end, wait for it, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self) -> None:
        """Kill whatever is left."""
        self.workers()
        self.process.kill()
        self.process.wait(30)
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


def serving(client: redis.Redis) -> int:
    """Return how many workers serve the queue."""
    return client.hlen(keys.leases(keys.CLUSTER_QUEUE))


def _is_worker_of(pid: int, parent: int) -> bool:
    status = _status(pid)
    return bool(status) and int(status[1]) == parent and b"runtime.pool.child" in _command(pid)


def _runs(pid: int) -> bool:
    status = _status(pid)
    return bool(status) and status[0] != b"Z" and b"runtime.pool.child" in _command(pid)


def _status(pid: int) -> list[bytes]:
    try:
        # The name in parentheses may hold anything; what follows it doesn't.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
