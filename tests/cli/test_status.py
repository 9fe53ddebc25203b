import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest

from runtime.cli.app import run as run_here
from runtime.cli.figures import age
from tests.cli.commands import Queue, Worker, count, environment, run
from tests.polling import eventually
from tests.servers import Valkey


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.4, "0 s"), (59, "59 s"), (250, "4 m 10 s"), (7_500, "2 h 5 m"), (273_600, "3 d 4 h")],
)
def test_ages_have_two_units_at_most(seconds: float, written: str) -> None:
    """An age is written with the two largest units that it has."""
    assert age(seconds) == written


def test_status_shows_queues_and_workers(tmp_path: Path, redis_url: str) -> None:
    """Status shows what waits, what runs, dead letters and workers, within 80 columns."""
    began, go = tmp_path / "began", tmp_path / "go"
    with Queue(redis_url) as queue:
        queue.push("nobody-knows-this")
        for _ in range(3):
            queue.push("until", {"began": str(began), "file": str(go)})
        name = "a-worker-with-a-name-that-is-as-long-as-those-of-a-cluster-of-containers"
        with Worker(tmp_path, "--worker-id", name, REDIS_URL=redis_url).ready() as worker:
            eventually(lambda: count(began) == 2 and len(queue.bodies()) == 1)
            shown = run(tmp_path, "status", REDIS_URL=redis_url, COLUMNS="80")
            machine = run(tmp_path, "status", "--json", REDIS_URL=redis_url)
            go.touch()
            assert worker.stop() == 0
    assert shown.returncode == machine.returncode == 1, shown
    lines = shown.stdout.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert any(line.split()[:4] == ["brain:cluster_tasks", "1", "2", "1"] for line in lines)
    assert any(line.startswith("a-worker-w") and line.endswith("alive") for line in lines)
    found = json.loads(machine.stdout)
    assert [seen["worker_id"] for seen in found["workers"]] == [name]
    assert found["workers"][0]["lease_alive"] is True
    assert found["queues"][0]["in_flight"] == 2


def test_an_empty_server(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On an empty server, status shows the contract's queues and says that there is no worker."""
    assert run_here(["status", "--queues", "mine", "--redis-url", redis_url]) == 0
    shown = capsys.readouterr().out
    for text in ("brain:cluster_tasks", "brain:mission_tasks", "mine", "No workers."):
        assert text in shown


def test_foreign_heartbeats_and_bodies_do_no_harm(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status gets past heartbeats and tasks that it can't read."""
    with Queue(redis_url) as queue:
        queue.client.set("brain:worker:a:heartbeat", b"\xff")
        queue.client.set("brain:worker:b:heartbeat", '{"worker_id": "b", "queues": 3}')
        queue.client.rpush(queue.name, b"not json")
    assert run_here(["status", "--json", "--redis-url", redis_url]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [worker["worker_id"] for worker in found["workers"]] == ["b"]
    assert found["queues"][0]["oldest_s"] is None


def test_recurring_tasks_are_listed(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status shows when each recurring task was last due, and gets past what it can't read."""
    with Queue(redis_url) as queue:
        seconds, _ = queue.client.time()
        noted = {"nightly": f"{seconds - 273_600}000 0", "ahead": f"{seconds + 7_530}000 0"}
        strange = {"strange": "yesterday", b"\xff": "9" * 20}
        queue.client.hset(f"{{{queue.name}}}:recurring", mapping=noted | strange)
    assert run_here(["status", "--redis-url", redis_url]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ahead", queue.name, "in", "2", "h", "5", "m"] in lines
    assert ["nightly", queue.name, "3", "d", "4", "h", "ago"] in lines
    assert run_here(["status", "--json", "--redis-url", redis_url]) == 0
    found = json.loads(capsys.readouterr().out)["recurring"]
    assert [task["name"] for task in found] == ["ahead", "nightly"]
    assert datetime.fromisoformat(found[1]["fired"]).timestamp() == seconds - 273_600
    assert found[0]["fired_s"] < 0 < found[1]["fired_s"]


def test_what_runs_is_shown(tmp_path: Path, redis_url: str) -> None:
    """Status shows what a worker runs, how far it is, and since when, on a line of 80 columns."""
    began, go = tmp_path / "began", tmp_path / "go"
    payload = {"began": str(began), "file": str(go), "done": 3, "total": 10}
    with Queue(redis_url) as queue:
        task_id = queue.push("count", payload)
        with Worker(tmp_path, "--worker-id", "w", REDIS_URL=redis_url).ready() as worker:
            eventually(lambda: queue.client.get(f"brain:task:{task_id}:progress"))
            shown = run(tmp_path, "status", REDIS_URL=redis_url, COLUMNS="80")
            machine = run(tmp_path, "status", "--json", REDIS_URL=redis_url)
            go.touch()
            assert worker.stop() == 0
    assert shown.returncode == machine.returncode == 0, shown
    (row,) = [line for line in shown.stdout.splitlines() if line.startswith("w ")]
    assert row.split()[1:5] == ["1/2", "count", task_id[:8], "3/10"]
    (run_,) = json.loads(machine.stdout)["workers"][0]["runs"]
    assert (run_["task_id"], run_["done"], run_["total"]) == (task_id, 3, 10)
    assert run_["seconds"] > 0


def test_what_another_worker_tells_isnt_shown_here(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that is held here, and of which its worker before has told, isn't said to run."""
    with Queue(redis_url) as queue:
        body = {"id": "t", "type": "x", "payload": {}, "created_at": "2026-01-01T00:00:00Z"}
        queue.client.rpush(f"{{{queue.name}}}:inflight:w#1", json.dumps(body))
        seconds, _ = queue.client.time()
        queue.client.zadd(f"{{{queue.name}}}:holders", {"w#1": (seconds + 5) * 1000})
        beat = {"worker_id": "w", "queues": [queue.name], "holder": "w#1", "slots": 1}
        queue.client.set("brain:worker:w:heartbeat", json.dumps(beat))
        times = {"started_at": body["created_at"], "updated_at": body["created_at"], "attempt": 1}
        for worker_id, runs in (("other", []), ("w", ["t"])):
            told = {"task_id": "t", "type": "x", "queue": queue.name, "worker_id": worker_id}
            queue.client.set("brain:task:t:progress", json.dumps(told | times))
            run_here(["status", "--json", "--redis-url", redis_url])
            (worker,) = json.loads(capsys.readouterr().out)["workers"]
            assert worker["active"] == 1
            assert [task["task_id"] for task in worker["runs"]] == runs


def test_without_the_right_to_ask_for_expiry_clocks_serve(tmp_path: Path, redis_url: str) -> None:
    """Where access rules forbid PTTL, heartbeats are as old as their workers' clocks say."""
    with Queue(redis_url) as queue, Worker(tmp_path, REDIS_URL=redis_url).ready() as worker:
        rules = ("on", "nopass", "+@all", "-pttl", "~*", "&*")
        queue.client.execute_command("ACL", "SETUSER", "looker", *rules)
        done = run(tmp_path, "status", "--json", REDIS_URL=redis_url.replace("//", "//looker:x@"))
        assert worker.stop() == 0
    assert done.returncode == 0, done
    (seen,) = json.loads(done.stdout)["workers"]
    assert seen["clock_s"] is None
    assert 0 <= seen["heartbeat_s"] < 60


class Terminal:
    """What a program shows on a terminal of 80 columns and 24 lines."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.written = b""

    def shows(self, text: str) -> bool:
        """Tell whether a text has come since it was last asked for one that had."""
        with suppress(OSError):  # the program has closed its end
            while select.select([self._master], [], [], 0)[0]:
                self.written += os.read(self._master, 65_536)
        _, found, after = self.written.partition(text.encode())
        if found:
            self.written = after
        return bool(found)


@contextmanager
def watching(
    directory: Path, **variables: str
) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """Run `status --watch` on a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "status", "--watch"],
        cwd=directory,
        env=environment(directory, TERM="xterm-256color", **variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        yield Terminal(master), process
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_watch_is_live_and_gives_the_terminal_back(tmp_path: Path, valkey_server: Valkey) -> None:
    """A watch shows what changes, says that the server is gone, goes on with it, and ends well."""
    valkey_server.reset()
    url = valkey_server.unix_url
    with Queue(url) as queue, watching(tmp_path, REDIS_URL=url) as (terminal, process):
        eventually(lambda: terminal.shows("No workers."), what="the first look")
        queue.push("echo")
        eventually(lambda: terminal.shows("1 task waits on"), what="a look that differs")
        valkey_server.stop()
        eventually(lambda: terminal.shows("old: "), what="the server is missed")
        valkey_server.start()
        eventually(lambda: terminal.shows("No workers."), what="a look at the new server")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        # The cursor is seen again, and the screen is what it was before.
        assert terminal.shows("\x1b[?25h")
        assert terminal.shows("\x1b[?1049l")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_watch_needs_a_terminal(tmp_path: Path, redis_url: str, more: list[str]) -> None:
    """Without a terminal, or with --json, --watch is wrong use and says so in a sentence."""
    done = run(tmp_path, "status", "--watch", *more, REDIS_URL=redis_url)
    assert done.returncode == 2
    assert done.stderr.startswith("--watch is given")
    assert len(done.stderr.splitlines()) == 1
