"""The ten states of trouble, each made for real: `status` names it in words and by its exit code.

No worker, a worker that is stopped (and one that was killed), a stalled event loop, a backlog, dead
letters, a flood of an unknown type, a paused queue, a slow server, a lease that is nearly lost, a
wrong clock. How each sentence reads in its varieties is in test_remarks.py.
"""

import asyncio
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from runtime.cli.app import run as run_here
from runtime.cli.overview import Lookout
from runtime.producer_session import open_session
from tests.cli.commands import CLUSTER, Queue, Worker, count
from tests.cli.troubles import AheadWorker, ago, grow_older
from tests.polling import eventually

MISSIONS = "brain:mission_tasks"
DEAD = f"{{{CLUSTER}}}:dead"
WHEN = r"(in the last \d+ s, the newest )?\d s ago"


@frozen
class Seen:
    """What `status` says."""

    code: int
    wrong: list[str]
    notes: list[str]


FINE = Seen(0, [], [])
Look = Callable[[], Seen]


@pytest.fixture
def look(redis_url: str, capsys: pytest.CaptureFixture[str]) -> Look:
    """Run the command."""

    def looked() -> Seen:
        capsys.readouterr()
        code = run_here(["status", "--json", "--redis-url", redis_url])
        found = json.loads(capsys.readouterr().out)
        return Seen(code, found["remarks"], found["notes"])

    return looked


@contextmanager
def working(
    directory: Path, url: str, look: Look, *more: str
) -> Iterator[tuple[Queue, Worker, str]]:
    """Run a worker with which nothing is wrong; yield also how sentences call it."""
    with (
        Queue(url) as queue,
        Worker(directory, "--worker-id", "w", *more, REDIS_URL=url).ready() as worker,
    ):
        eventually(lambda: queue.client.exists("brain:worker:w:heartbeat"))
        eventually(lambda: look() == FINE)
        yield queue, worker, f"orker w (process {worker.pid} on {socket.gethostname()})"


def says(sentences: list[str], pattern: str) -> bool:
    """Say whether there is one sentence, and it is of a pattern."""
    return len(sentences) == 1 and re.fullmatch(pattern, sentences[0]) is not None


def test_no_worker(redis_url: str, look: Look) -> None:
    """Of tasks that nobody takes it is said how many, where, since when, and what to start."""
    with Queue(redis_url, MISSIONS) as missions:
        for _ in range(2):
            missions.push("agent.chat", created_at=ago(47))
        seen = look()
    assert seen.code == 1
    assert says(
        seen.wrong,
        rf"2 tasks wait on {MISSIONS}, the next for (4[7-9]|5\d) s, and no worker serves it: "
        rf"start one with `--queues {MISSIONS}`\.",
    ), seen


def test_a_stopped_worker(tmp_path: Path, redis_url: str, look: Look) -> None:
    """A worker that is stopped by SIGSTOP is told by name and process, until it goes on."""
    with working(tmp_path, redis_url, look) as (_, worker, name):
        worker.signal(signal.SIGSTOP)
        seen = eventually(lambda: (seen := look()) and "no renewed" in "".join(seen.wrong) and seen)
        assert seen.code == 1
        assert says(
            seen.wrong,
            rf"W{re.escape(name)} has no renewed lease for \d s: suspended, cut off or dead; "
            r"nobody takes the tasks\. `kill -CONT` wakes one that was stopped\.",
        ), seen
        worker.signal(signal.SIGCONT)
        eventually(lambda: look() == FINE)


def test_a_killed_worker(tmp_path: Path, redis_url: str, look: Look) -> None:
    """A dead worker has no lease while its heartbeat lasts, and what it held is told as well."""
    began = tmp_path / "began"
    with working(tmp_path, redis_url, look, "--concurrency", "1") as (queue, worker, name):
        queue.push("until", {"began": str(began), "file": str(tmp_path / "never")})
        eventually(lambda: count(began))
        worker.signal(signal.SIGKILL)
        seen = eventually(lambda: len((seen := look()).wrong) == 2 and seen)
    assert seen.code == 1
    held, dead = seen.wrong
    assert held == (
        f"1 task of {CLUSTER} is held by workers that are gone; "
        "the next worker that serves it takes them over."
    )
    assert dead.startswith(f"W{name} has no renewed lease for ")


def test_a_stalled_loop(tmp_path: Path, redis_url: str, look: Look) -> None:
    """A worker whose handler blocks its loop is told with the task, and still when it's unheard."""
    began = tmp_path / "began"
    with working(tmp_path, redis_url, look, "--concurrency", "1") as (queue, _, name):
        task_id = queue.push("block", {"began": str(began)})
        eventually(lambda: count(began))
        grow_older(queue, "w", 45)
        silent = look()
        queue.client.delete("brain:worker:w:heartbeat")
        unheard = look()
    assert (silent.code, unheard.code) == (1, 1)
    assert says(
        silent.wrong,
        rf"W{re.escape(name)} lives but has been silent for 4\d s: a handler blocks its event "
        rf"loop; its log says which\. It holds {task_id} \(block\): `cancel` that, then kill the "
        r"process\.",
    ), silent
    assert says(unheard.wrong, r"Worker w lives but has been silent for more than a minute: .*")


def test_a_backlog(tmp_path: Path, redis_url: str, look: Look) -> None:
    """Tasks that have waited for long are told with the slots that are busy meanwhile."""
    began = tmp_path / "began"
    payload = {"began": str(began), "file": str(tmp_path / "never")}
    with working(tmp_path, redis_url, look, "--concurrency", "1") as (queue, _, _):
        for _ in range(4):
            queue.push("until", payload, created_at=ago(400))
        eventually(lambda: count(began) and len(queue.bodies()) == 3)
        seen = look()
    assert seen.code == 1
    assert says(
        seen.wrong,
        rf"The next task of {CLUSTER} has waited for 6 m 4\d s, 2 more behind it; 1 of 1 slots of "
        r"worker w are busy: start more workers, or give them more slots\.",
    ), seen


def test_dead_letters(tmp_path: Path, redis_url: str, look: Look) -> None:
    """Tasks that failed for good are told with the reason and the type, and where to look."""
    with working(tmp_path, redis_url, look) as (queue, _, _):
        for _ in range(2):
            queue.push("fail", max_attempts=1)
        eventually(lambda: queue.client.xlen(DEAD) == 2)
        seen = look()
    assert seen.code == 1
    assert says(
        seen.wrong,
        rf"{CLUSTER} got 2 dead letters {WHEN} "
        rf"\(attempts_exhausted fail\): `dead list --queue {CLUSTER}` says why; then "
        r"`dead requeue` or `dead purge`\.",
    ), seen


def test_dead_letters_of_long_ago(redis_url: str, look: Look) -> None:
    """A dead letter of the last hour is wrong; an older one isn't, and isn't counted with it."""
    with Queue(redis_url) as queue:
        seconds, _ = queue.client.time()
        queue.client.xadd(DEAD, {"reason": "rejected", "type": "x"}, f"{seconds - 4000}000-0")
        before = look()
        queue.client.xadd(DEAD, {"reason": "rejected", "type": "y"}, f"{seconds - 100}000-0")
        after = look()
    assert before == FINE
    assert after.code == 1
    assert after.wrong[0].startswith(f"{CLUSTER} got 1 dead letter 1 m 4")


def test_a_flood_of_an_unknown_type(tmp_path: Path, redis_url: str, look: Look) -> None:
    """A flood is told as such: which type, how many since when, and what to do against it."""
    with working(tmp_path, redis_url, look) as (queue, _, _):
        flood(queue, 200)
        eventually(lambda: queue.client.xlen(DEAD) == 200)
        some = look()
        flood(queue, 400)
        eventually(lambda: queue.client.xlen(DEAD) == 600)
        many = look()
    assert (some.code, many.code) == (1, 1)
    advice = (
        r"stop who pushes them, or start a worker that has that handler; then `dead purge` or "
        rf"`dead requeue` with `--all --reason unknown_type --queue {CLUSTER}`\."
    )
    for seen, number in ((some, "200"), (many, "at least 500")):
        assert says(
            seen.wrong,
            rf"{CLUSTER} got {number} tasks of the unknown type spam {WHEN}: {advice}",
        ), seen


def flood(queue: Queue, tasks: int) -> None:
    made: dict[str, Any] = {"type": "spam", "payload": {}, "created_at": ago(0)}
    queue.client.rpush(CLUSTER, *(json.dumps({"id": f"{n}", **made}) for n in range(tasks)))


def test_a_flood_of_large_tasks_is_read_in_part(redis_url: str, look: Look) -> None:
    """Of large dead letters fewer are read, so that a look stays cheap in a flood of them."""
    with Queue(redis_url) as queue:
        for _ in range(20):
            fields = {"task": "x" * 200_000, "reason": "unknown_type", "type": "large"}
            queue.client.xadd(DEAD, fields)
        (said,) = look().wrong
    assert said.startswith(f"{CLUSTER} got at least 5 tasks of the unknown type large ")


def test_a_paused_queue(tmp_path: Path, redis_url: str, look: Look) -> None:
    """A pause is a note, as somebody has ordered it; what has waited in it for long is wrong."""
    with working(tmp_path, redis_url, look) as (queue, worker, _):
        assert run_here(["pause", CLUSTER, "--redis-url", redis_url]) == 0
        worker.says(f"Queue {CLUSTER} is paused")
        queue.push("echo", created_at=ago(0))
        eventually(queue.bodies)
        paused = look()
        queue.client.delete(CLUSTER)
        queue.push("echo", created_at=ago(400))
        eventually(queue.bodies)
        old = look()
    note = rf"{CLUSTER} is paused, for \d s now: 1 task waits until `resume {CLUSTER}`\."
    assert (paused.code, paused.wrong) == (0, [])
    assert says(paused.notes, note), paused
    assert old.code == 1
    assert says(old.notes, note), old
    assert says(
        old.wrong,
        rf"The next task of {CLUSTER} has waited for 6 m 4\d s, and the queue is paused: "
        rf"`resume {CLUSTER}`\.",
    ), old


def test_a_slow_server(redis_url: str, look: Look) -> None:
    """A server that takes more than a second for an answer is told, with how long it took."""
    with Queue(redis_url) as queue:
        queue.client.execute_command("CLIENT", "PAUSE", "1200", "ALL")
        seen = look()
    assert seen.code == 1
    assert says(
        seen.wrong,
        r"The server took 1\.\d s for an answer: it or the way to it is overloaded; "
        r"`redis-cli SLOWLOG GET` tells which\.",
    ), seen


def test_a_server_that_becomes_slow_is_told_once(redis_url: str) -> None:
    """Of several looks, the one during which the server was slow tells of it, and no later one."""

    async def looks(queue: Queue) -> list[tuple[str, ...]]:
        session = await open_session(redis_url, 5.0, lambda: 0.5)
        try:
            lookout = Lookout(session, ())
            queue.client.execute_command("CLIENT", "PAUSE", "1200", "ALL")
            return [(await lookout.look()).remarks for _ in range(2)]
        finally:
            await session.aclose()

    with Queue(redis_url) as queue:
        slow, after = asyncio.run(looks(queue))
    assert len(slow) == 1
    assert "for an answer" in slow[0]
    assert after == ()


def test_a_lease_that_is_nearly_lost(tmp_path: Path, redis_url: str, look: Look) -> None:
    """Before a worker that renews nothing loses its lease, it is told that this is near."""
    with working(tmp_path, redis_url, look) as (_, worker, name):

        def stopped() -> Seen | None:
            """Look at it while it is stopped, until something is wrong."""
            worker.signal(signal.SIGSTOP)
            seen = eventually(lambda: (seen := look()) != FINE and seen)
            worker.signal(signal.SIGCONT)
            if "last renewed" in "".join(seen.wrong):
                return seen
            # This process hasn't run for a second and a half, and the lease has lapsed meanwhile.
            eventually(lambda: look() == FINE)
            return None

        seen = eventually(stopped)
        eventually(lambda: look() == FINE)
    assert seen.code == 1
    assert says(
        seen.wrong,
        rf"W{re.escape(name)} last renewed a lease [23]\.\d s ago, which is due every second; at "
        r"4 s others take the tasks\. Look at its machine's load and the network\.",
    ), seen


def test_a_wrong_clock(tmp_path: Path, redis_url: str, look: Look) -> None:
    """A worker whose clock is off is told, with by how much, and what comes of it."""
    with AheadWorker(tmp_path, "--worker-id", "w", REDIS_URL=redis_url).ready() as worker:
        seen = eventually(lambda: (seen := look()) != FINE and seen)
        assert worker.stop() == 0
    assert seen.code == 1
    assert says(
        seen.wrong,
        rf"The clock of worker w \(process {worker.pid} on {re.escape(socket.gethostname())}\) is "
        r"1 m (29|30) s ahead of the server's: it dates answers wrongly and misjudges "
        r"`expires_at`; set it by NTP\.",
    ), seen


def test_a_wrong_clock_of_this_machine(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock of whoever looks is off, that is told, as ages are told by it."""
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() - 90)
    seen = look()
    assert seen.code == 1
    assert says(
        seen.wrong,
        r"This machine's clock is 1 m (29|30) s behind the server's: ages here are wrong by that\.",
    ), seen
