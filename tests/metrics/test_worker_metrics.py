import json
import signal
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime.cli.app import run as run_here
from runtime.metrics import catalogue
from tests.cli.commands import CLUSTER, Queue, Worker
from tests.metrics.scrapes import fetch, scrape, where
from tests.polling import eventually
from tests.servers import free_port, make_valkey


def listening(pid: int) -> set[str]:
    """Return the TCP ports, in hexadecimal, on which a process listens."""
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.exists()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def test_a_real_worker_counts_what_it_does(tmp_path: Path, redis_url: str) -> None:
    """Runs are counted by queue, type and outcome, and timed; calls and batches are measured."""
    with (
        Queue(redis_url) as queue,
        Worker(tmp_path, "--metrics-port", "0", REDIS_URL=redis_url) as worker,
    ):
        url = where(worker)
        for _ in range(7):
            queue.push("echo")
        failing = queue.push("fail")
        task = {"id": str(uuid.uuid4()), "type": "fail", "payload": {}, "max_attempts": 1}
        created = datetime.now(UTC) - timedelta(seconds=100)
        queue.client.rpush(CLUSTER, json.dumps({**task, "created_at": created.isoformat()}))

        def ended(name: str, outcome: str) -> float | None:
            labels = {"queue": CLUSTER, "type": name, "outcome": outcome}
            return scrape(url).get_one("brain_worker_tasks_total", **labels)

        eventually(lambda: ended("echo", "succeeded") == 7)
        eventually(lambda: ended("fail", "failed") == 1 and ended("fail", "retried"))
        seen = scrape(url)
        assert worker.stop() == 0
    assert queue.result(failing) is None
    ours = {"queue": CLUSTER, "type": "echo"}
    assert seen.get_one("brain_worker_task_duration_seconds_count", **ours) == 7
    assert seen.get_one("brain_worker_queue_time_seconds_count", **ours) == 7
    waits = {"queue": CLUSTER, "type": "fail"}
    assert seen.get_one("brain_worker_queue_time_seconds_bucket", **waits, le="60.0") == 0
    dead = {"queue": CLUSTER, "reason": "attempts_exhausted"}
    assert seen.get_one("brain_worker_dead_letters_total", **dead) == 1
    assert seen.get_one("brain_worker_settle_batch_size_sum") >= 9
    for call in ("take", "settle", "promote"):
        assert seen.get_one("brain_worker_redis_call_duration_seconds_count", call=call)
    calls = seen.labels("brain_worker_redis_call_duration_seconds_count")
    assert {"blmove", "eval", "evalsha"}.isdisjoint(labels["call"] for labels in calls)
    assert seen.get_one("brain_worker_slots") == 2
    assert 0 < seen.get_one("brain_worker_lease_margin_seconds") < 4


def test_types_that_nobody_registered_are_one_label(tmp_path: Path, redis_url: str) -> None:
    """However many unknown types and bodies that are no tasks come, they share one label."""
    with (
        Queue(redis_url) as queue,
        Worker(tmp_path, "--metrics-port", "0", REDIS_URL=redis_url) as worker,
    ):
        url = where(worker)
        for number in range(50):
            queue.push(f"made-up-{number}")
        queue.client.rpush(CLUSTER, b"not json")
        labels = {"queue": CLUSTER, "type": "unknown", "outcome": "rejected"}
        eventually(lambda: scrape(url).get_one("brain_worker_tasks_total", **labels) == 51)
        assert "made-up" not in fetch(url)
        assert worker.stop() == 0


def test_names_and_labels_are_the_catalogues(tmp_path: Path, redis_url: str) -> None:
    """What a worker shows has the catalogue's names, types and labels, and nothing else of ours."""
    with (
        Queue(redis_url) as queue,
        Worker(tmp_path, "--metrics-port", "0", REDIS_URL=redis_url) as worker,
    ):
        url = where(worker)
        queue.answered(queue.push("echo"))
        eventually(lambda: scrape(url).get_one("brain_worker_settle_batch_size_count"))
        text, seen = fetch(url), scrape(url)
        assert worker.stop() == 0
    known = {metric.name: metric for metric in catalogue.WORKER}
    shown = dict(
        line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE brain_")
    )
    # Those of the database and of Ollama are shown by workers that have them.
    absent = {name for name in known if "database" in name or "ollama" in name}
    assert shown == {name: metric.kind for name, metric in known.items() if name not in absent}
    for name, kind in shown.items():
        sample = f"{name}_count" if kind == "histogram" else name
        assert {frozenset(labels) for labels in seen.labels(sample)} == {
            frozenset(known[name].labels)
        }


def test_a_stuck_loop_still_answers(tmp_path: Path, redis_url: str) -> None:
    """While a handler blocks the event loop, a scrape is answered and tells that the loop lags."""
    began = str(tmp_path / "began")
    arguments = ("--metrics-port", "0", "--stall-warning", "300ms")
    with Queue(redis_url) as queue, Worker(tmp_path, *arguments, REDIS_URL=redis_url) as worker:
        url = where(worker)
        queue.push("block", {"began": began})
        eventually(lambda: (scrape(url).get_one("brain_worker_loop_lag_seconds") or 0) > 1)
        eventually(lambda: scrape(url).get_one("brain_worker_loop_stalls_total") == 1)
        # From the last look at what belongs to the loop.
        assert scrape(url).get_one("brain_worker_slots") == 2


def test_a_suspended_worker_tells_of_its_lease(tmp_path: Path, redis_url: str) -> None:
    """A worker that was suspended for some seconds shows how close its lease came to its lapse."""
    with (
        Worker(tmp_path, "--metrics-port", "0", REDIS_URL=redis_url) as worker,
        Queue(redis_url) as queue,
    ):
        url = where(worker)
        worker.ready()

        def idle_ms() -> int:
            seconds, micro = queue.client.time()
            last = max(
                score
                for _, score in queue.client.zrange(
                    f"{{{CLUSTER}}}:holders", 0, -1, withscores=True
                )
            )
            return seconds * 1000 + micro // 1000 - last

        worker.signal(signal.SIGSTOP)
        eventually(lambda: idle_ms() > 2_500)
        worker.signal(signal.SIGCONT)
        eventually(lambda: idle_ms() < 1_000)
        # The lease is renewed again; what it was close to is still told.
        assert scrape(url).get_one("brain_worker_lease_margin_seconds") < 1.5
        assert worker.stop() == 0


def test_a_lost_server_is_counted(tmp_path: Path) -> None:
    """Calls and renewals that fail on their connection are counted, and the worker goes on."""
    with (
        make_valkey() as server,
        Worker(tmp_path, "--metrics-port", "0", REDIS_URL=server.url).ready() as worker,
    ):
        url = where(worker)
        assert scrape(url).get_one("brain_worker_redis_connection_errors_total") == 0
        server.restart()
        eventually(lambda: scrape(url).get_one("brain_worker_redis_connection_errors_total"))
        with Queue(server.url) as queue:
            queue.answered(queue.push("echo"))
        assert worker.stop() == 0


def test_off_opens_no_port(tmp_path: Path, redis_url: str) -> None:
    """Without the option a worker listens nowhere."""
    with Worker(tmp_path, REDIS_URL=redis_url).ready() as worker:
        assert listening(worker.pid) == set()
    with Worker(tmp_path, "--metrics-port", "0", REDIS_URL=redis_url).ready() as worker:
        assert [address[:8] for address in listening(worker.pid)] == ["0100007F"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--metrics-port", "65536"], "--metrics-port is '65536', expected a port from 0"),
        (["--metrics-port", "x"], "--metrics-port is 'x', expected a port from 0"),
        (["exporter", "--port", "-1"], "--port is '-1', expected a port from 0"),
    ],
)
def test_ports_that_are_none(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port that is none is named, with what was expected."""
    assert run_here(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_port_that_is_taken(tmp_path: Path, redis_url: str) -> None:
    """A port that another process has, or a host that isn't here, ends the start in words."""
    port = str(free_port())
    taken = ("--metrics-port", port)
    with (
        Worker(tmp_path, *taken, REDIS_URL=redis_url).ready(),
        Worker(tmp_path, *taken, REDIS_URL=redis_url) as second,
    ):
        assert second.end() == 2
        assert f"--metrics-port is {port}, on which another process listens" in second.log()
    elsewhere = ("--metrics-port", "0", "--metrics-host", "192.0.2.1")
    with Worker(tmp_path, *elsewhere, REDIS_URL=redis_url) as third:
        assert third.end() == 2
        assert "--metrics-host is '192.0.2.1', expected an address of this machine" in third.log()
