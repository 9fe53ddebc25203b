"""Makes the pictures of `status --watch` in docs/operations.md: real workers in real trouble.

`make picture` runs it. What takes minutes by itself (a heartbeat that grows old) is written into
the server as it would be by then.
"""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from runtime.cli.board import Board
from runtime.cli.overview import Lookout, Overview
from runtime.demo.picture import drawn
from runtime.producer_session import open_session
from tests.cli.commands import CLUSTER, Queue, Worker, count
from tests.cli.troubles import AheadWorker, ago, grow_older
from tests.polling import eventually
from tests.servers import make_valkey

_WIDTH: Final = 80
_HEIGHT: Final = 24
_REPORTS: Final = "acme:reports"


class Stage:
    """A server, and the workers on it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.url = stack.enter_context(make_valkey()).url
        self.queue = stack.enter_context(Queue(self.url))
        self._marks = 0

    def start(self, kind: type[Worker], name: str, *more: str) -> Worker:
        worker = kind(self._directory, "--worker-id", name, *more, REDIS_URL=self.url)
        self._stack.enter_context(worker)
        worker.ready()
        eventually(lambda: self.queue.client.exists(f"brain:worker:{name}:heartbeat"))
        return worker

    def begin(self, task_type: str, task_id: str, **payload: Any) -> None:
        """Push a task, and wait until its handler runs."""
        self._marks += 1
        began = self._directory / f"began-{self._marks}"
        files = {"began": str(began), "file": str(self._directory / "never")}
        self.queue.push(task_type, {**files, **payload}, id=task_id, created_at=ago(0))
        eventually(lambda: count(began))

    def look(self) -> Overview:
        return asyncio.run(_look(self.url))


async def _look(url: str) -> Overview:
    session = await open_session(url, 5.0, lambda: 0.5)
    try:
        return await Lookout(session, ()).look()
    finally:
        await session.aclose()


@contextmanager
def few_troubles() -> Iterator[Stage]:
    """Run three workers: one whose loop is blocked, one that is stopped, one at work."""
    with ExitStack() as stack:
        stage = Stage(stack)
        stage.start(Worker, "blocked", "--concurrency", "1")
        stage.begin("block", "import-88")
        stopped = stage.start(Worker, "stopped")
        stopped.signal(signal.SIGSTOP)
        stage.start(Worker, "worker-7f9c", "--concurrency", "4")
        stage.begin("count", "count-17", done=4, total=10)
        for number in range(2):
            stage.begin("until", f"until-{number}")
        progress = "brain:task:count-17:progress"
        eventually(lambda: stage.queue.client.exists(progress))
        eventually(lambda: "no renewed lease" in " ".join(stage.look().remarks))
        grow_older(stage.queue, "blocked", 45, host="node-1")
        grow_older(stage.queue, "stopped", 20, host="node-2")
        yield stage


def many_troubles(stage: Stage) -> None:
    """Add what goes wrong in a bad night."""
    queue = stage.queue
    with Queue(stage.url, "brain:mission_tasks") as missions:
        for _ in range(12):
            missions.push("agent.chat", created_at=ago(133))
    body = {"type": "acme.sync", "payload": {}, "created_at": ago(0)}
    queue.client.rpush(CLUSTER, *(json.dumps({"id": f"{n}", **body}) for n in range(2_000)))
    for _ in range(3):
        queue.push("fail", max_attempts=1)
    stage.start(AheadWorker, "worker-a2c4")
    grow_older(queue, "worker-a2c4", 0, host="node-3")
    queue.client.set(f"{{{_REPORTS}}}:paused", f"{queue.client.time()[0] - 1_500}000")
    stage.start(Worker, "reporter", "--queues", _REPORTS).says("is paused")
    with Queue(stage.url, _REPORTS) as reports:
        for _ in range(40):
            reports.push("echo", created_at=ago(1_420))
        eventually(lambda: len(reports.bodies()) == 40)
    eventually(lambda: queue.client.xlen(f"{{{CLUSTER}}}:dead") >= 2_003)


def write(found: Overview, path: Path, height: int) -> None:
    board = Board(found, "redis://localhost:6379/0", when="03:12:00")
    svg = drawn(board, "python -m runtime status --watch", path.stem, _WIDTH, height)
    path.write_text(svg, encoding="utf-8")


def main(directory: Path) -> None:
    """Write both pictures into a directory."""
    with few_troubles() as stage:
        write(stage.look(), directory / "status-watch.svg", 20)
        many_troubles(stage)
        write(stage.look(), directory / "status-watch-troubles.svg", _HEIGHT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
