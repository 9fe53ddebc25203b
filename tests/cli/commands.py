"""Runs the command line as its users do: in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, ClassVar, Self

from runtime.cli.options import VARIABLES
from runtime.redis.connection import sync_client
from tests.polling import eventually

ROOT = Path(__file__).parents[2]
SAMPLE = "tests.cli.sample_handlers"
CLUSTER = "brain:cluster_tasks"


def environment(directory: Path, **variables: str) -> dict[str, str]:
    """Return an environment in which nothing is configured but what is named."""
    ours = {*VARIABLES, "XDG_RUNTIME_DIR", "COLUMNS", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    state = {"BRAIN_STATE_DIR": str(directory / "state")}
    return {**kept, "PYTHONPATH": str(ROOT), **state, **variables}


def run(
    directory: Path, *arguments: str, stdin: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a directory to its end; without `stdin` it has nothing to read."""
    return subprocess.run(
        [sys.executable, "-m", "runtime", *arguments],
        check=False,
        cwd=directory,
        env=environment(directory, **variables),
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=60,
    )


class Worker:
    """A worker in a process of its own, with the sample handlers unless others are named."""

    program: ClassVar[tuple[str, ...]] = ("-m", "runtime")

    def __init__(self, directory: Path, *arguments: str, **variables: str) -> None:
        self.log_file = directory / f"log-{uuid.uuid4().hex}"
        if "--handlers" not in arguments:
            arguments = ("--handlers", f"{SAMPLE}:handlers", *arguments)
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.program, *arguments],
                cwd=directory,
                env=environment(directory, **variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return self.log_file.read_text()

    def says(self, text: str) -> None:
        """Wait until the log holds a text."""
        try:
            eventually(lambda: text in self.log() or self._process.poll() is not None)
        finally:
            assert text in self.log(), self.log()

    def ready(self) -> Self:
        """Wait until it takes tasks."""
        self.says("takes tasks")
        return self

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        return self._process.wait(timeout=60)

    def stop(self) -> int:
        """Ask for the end, wait for it, and return the exit code."""
        self.signal()
        return self.end()


class Queue:
    """A queue, as a producer and an operator see it who know only the contract."""

    def __init__(self, url: str, name: str = CLUSTER) -> None:
        self.client = sync_client(url)
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def push(self, task_type: str, payload: dict[str, Any] | None = None, **fields: Any) -> str:
        task_id = str(uuid.uuid4())
        body = {"id": task_id, "type": task_type, "payload": payload or {}}
        made = {"created_at": "2024-02-17T10:30:00Z"}
        self.client.rpush(self.name, json.dumps({**body, **made, **fields}))
        return task_id

    def bodies(self) -> list[bytes]:
        return self.client.lrange(self.name, 0, -1)

    def ids(self) -> list[str]:
        return [json.loads(body)["id"] for body in self.bodies()]

    def result(self, task_id: str) -> dict[str, Any] | None:
        body = self.client.get(f"brain:task:{task_id}:result")
        return None if body is None else json.loads(body)

    def answered(self, task_id: str) -> dict[str, Any]:
        """Wait for a task's result."""
        return eventually(lambda: self.result(task_id))


def count(path: Path) -> int:
    """Return how many handlers have begun, by the file that they were given."""
    return len(path.read_bytes()) if path.exists() else 0
