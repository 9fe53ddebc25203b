"""The processes that are measured: workers as users start them, and the loops they compare with."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen

T = TypeVar("T")

ROOT: Final = Path(__file__).parent.parent
"""Where `benchmarks` and `runtime` can be imported from."""

QUEUE: Final = "brain:cluster_tasks"

_ENDING: Final = 15.0
"""Seconds that a process may take to end after SIGTERM."""


class BenchmarkError(Exception):
    """The run can't go on, or what it measured wouldn't mean anything; says why."""


@frozen(eq=False)
class Measured:
    """A running process.

    Attributes:
        name: for people.
        process: what runs.
        log: where it writes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def wait_for(self, look: Callable[[], T], within: float, every: float = 0.002) -> T:
        """Poll until `look` returns something true, and return that.

        Raises:
            BenchmarkError: the process has ended, or it took longer than `within` seconds.
        """
        deadline = time.monotonic() + within
        while not (found := look()):
            if self.process.poll() is not None:
                raise BenchmarkError(f"{self.name} has ended: {self.said()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name} got nowhere in {within:g} s: {self.said()}")
            time.sleep(every)
        return found

    def outcome(self) -> str:
        """Wait for its end, and return what it printed.

        Raises:
            BenchmarkError: it doesn't end, or not with exit code 0.
        """
        try:
            code = self.process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.name} doesn't end: {self.said()}") from None
        if code != 0:
            raise BenchmarkError(f"{self.name} ended with exit code {code}: {self.said()}")
        return self.log.read_text()

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-2000:].strip() or "(it said nothing)"

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Keep it from running meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it in an orderly way; does nothing if it has ended.

        Raises:
            BenchmarkError: it doesn't end, or not with exit code 0.
        """
        if self.process.poll() is not None:
            return
        self.process.terminate()
        self.outcome()


@contextmanager
def running(name: str, *command: str, root: Path = ROOT) -> Iterator[Measured]:
    """Run a Python module with its arguments; whatever happens, it is gone afterwards.

    Args:
        name: for people.
        command: the module and its arguments.
        root: whose module it is: this project's, or an earlier version's.
    """
    with tempfile.TemporaryDirectory(prefix="brain-bench-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=root,
                env=os.environ | {"PYTHONPATH": str(root)},
                start_new_session=True,
            )
        try:
            yield Measured(name, process, log)
        finally:
            process.kill()
            process.wait()


@contextmanager
def worker(
    url: str, slots: int, *more: str, queue: str = QUEUE, root: Path = ROOT
) -> Iterator[Measured]:
    """Run a worker process as users do, with the log at warnings.

    Args:
        url: of its server.
        slots: its `--concurrency`.
        more: further options.
        queue: which one it serves.
        root: whose worker it is.
    """
    options = {
        "--redis-url": url,
        "--handlers": "benchmarks.handlers:handlers",
        "--queues": queue,
        "--concurrency": str(slots),
        "--log-level": "warning",
    }
    words = [*(word for pair in options.items() for word in pair), *more]
    with running(f"the worker with {slots} slots", "runtime", *words, root=root) as process:
        yield process
        process.end()
