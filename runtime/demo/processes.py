"""The demonstration's workers: real processes of `python -m runtime`."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from runtime.cli.options import VARIABLES
from runtime.demo.errors import DemoError

SLOTS: Final = 6
"""Tasks that a worker runs at once: one alone can run all of the missions."""

_HANDLERS: Final = ("brain", "runtime.demo.work:handlers")
_KEPT: Final = ("OLLAMA_HOST", "OLLAMA_MODEL", "OLLAMA_EMBED_MODEL")
"""Of the settings in the environment, those that the demonstration's workers heed."""

_GRACE: Final = 1.0
"""Seconds for tasks that still run at the end, after an interruption."""

_PATIENCE: Final = 15.0
"""Seconds after which a worker that doesn't end is killed."""


@frozen(eq=False)
class WorkerProcess:
    """A worker.

    Attributes:
        name: its name.
        process: its process.
        log: the file with its log.
    """

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else "it has said nothing"


class Fleet:
    """The workers of one data directory.

    Args:
        directory: where the private servers and the workers keep their files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._logs = directory / "logs"
        self._logs.mkdir(mode=0o700)
        self._workers: dict[str, WorkerProcess] = {}
        self.killed: set[str] = set()

    @property
    def workers(self) -> tuple[WorkerProcess, ...]:
        """All that were started, the killed ones among them."""
        return tuple(self._workers.values())

    async def start(self, name: str) -> None:
        """Start a worker.

        Raises:
            DemoError: it can't be started.
        """
        log = self._logs / name
        try:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *_tied(),
                    *(sys.executable, "-m", "runtime"),
                    *self._arguments(name),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=_environment(),
                    # Ctrl-C in the terminal is for the demonstration, which ends its workers.
                    start_new_session=True,
                )
        except OSError as error:
            raise DemoError(f"{name} can't be started: {error}.") from error
        self._workers[name] = WorkerProcess(name, process, log)

    async def kill(self, name: str) -> None:
        """Kill a worker as `kill -9` does."""
        self.killed.add(name)
        worker = self._workers[name]
        worker.process.kill()
        await worker.process.wait()

    async def watch(self) -> None:
        """Wait until a worker ends that nobody has killed.

        Raises:
            DemoError: one has ended.
        """
        while True:
            living = [one for one in self.workers if one.name not in self.killed]
            for worker in living:
                if (code := worker.process.returncode) is not None:
                    words = worker.last_words()
                    raise DemoError(f"{worker.name} has ended with exit code {code}: {words}")
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Stop all workers and wait for their end; one that doesn't end is killed.

        A cancellation leaves them running.
        """
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.process.terminate()
        await asyncio.gather(*(_ended(worker.process) for worker in self.workers))

    def _arguments(self, name: str) -> list[str]:
        words = [word for handlers in _HANDLERS for word in ("--handlers", handlers)]
        words += ["--worker-id", name, "--concurrency", str(SLOTS), "--grace", str(_GRACE)]
        words += ["--data-dir", str(self._directory / "data")]
        return [*words, "--state-dir", str(self._directory / "state")]


def _environment() -> dict[str, str]:
    ignored = {*VARIABLES, "COLUMNS", "LINES", "FORCE_COLOR"} - {*_KEPT}
    return {name: value for name, value in os.environ.items() if name not in ignored}


def _tied() -> tuple[str, ...]:
    """Return what goes before a command whose process is to stop when we die, if there is that."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
