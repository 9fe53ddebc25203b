import json
from datetime import datetime
from pathlib import Path

import pytest

from runtime.cli.app import run as run_here
from runtime.cli.overview import QueueView, WorkerView, remarks
from runtime.cli.tables import age
from tests.cli.commands import Queue, Worker, count, run
from tests.polling import eventually


def worker_of(*queues: str, lease_alive: bool = True) -> WorkerView:
    return WorkerView("w", queues, 1, 0, 0, 0, 1.0, lease_alive)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.4, "0 s"), (59, "59 s"), (250, "4 m 10 s"), (7_500, "2 h 5 m"), (273_600, "3 d 4 h")],
)
def test_ages_have_two_units_at_most(seconds: float, written: str) -> None:
    """An age is written with the two largest units that it has."""
    assert age(seconds) == written


def test_remarks_name_what_nobody_serves() -> None:
    """Words are made for queues with tasks that no worker serves, and for those only."""
    waiting, held = QueueView("a", 2, 0, 0, 1.0), QueueView("a", 0, 3, 0, None)
    assert remarks([waiting], []) == ("2 tasks wait on a, and no worker serves it.",)
    assert remarks([waiting], [worker_of("b")]) == remarks([waiting], [])
    assert remarks([waiting], [worker_of("a")]) == ()
    assert (
        "no worker of a has a living lease"
        in remarks([waiting], [worker_of("a", lease_alive=False)])[0].lower()
    )
    assert "3 tasks of a are held by workers that are gone" in remarks([held], [])[0]
    assert remarks([QueueView("a", 0, 0, 5, None)], []) == ()


def test_status_shows_queues_and_workers(tmp_path: Path, redis_url: str) -> None:
    """Status shows what waits, what runs, dead letters and workers, within 80 columns."""
    began, go = tmp_path / "began", tmp_path / "go"
    with Queue(redis_url) as queue, Queue(redis_url, "brain:mission_tasks") as missions:
        queue.push("nobody-knows-this")
        for _ in range(3):
            queue.push("until", {"began": str(began), "file": str(go)})
        missions.push("agent.chat")
        name = "a-worker-with-a-name-that-is-as-long-as-those-of-a-cluster-of-containers"
        with Worker(tmp_path, "--worker-id", name, REDIS_URL=redis_url).ready() as worker:
            eventually(lambda: count(began) == 2 and len(queue.bodies()) == 1)
            shown = run(tmp_path, "status", REDIS_URL=redis_url, COLUMNS="80")
            machine = run(tmp_path, "status", "--json", REDIS_URL=redis_url)
            go.touch()
            assert worker.stop() == 0
    assert shown.returncode == machine.returncode == 0, shown
    lines = shown.stdout.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert any(line.split()[:4] == ["brain:cluster_tasks", "1", "2", "1"] for line in lines)
    assert any(line.rstrip().endswith("alive") for line in lines)
    assert "1 task waits on brain:mission_tasks, and no worker serves it." in lines
    found = json.loads(machine.stdout)
    assert [seen["worker_id"] for seen in found["workers"]] == [name]
    assert found["workers"][0]["lease_alive"] is True
    assert found["queues"][0]["in_flight"] == 2


def test_a_killed_worker_has_no_lease(tmp_path: Path, redis_url: str) -> None:
    """A worker that died is shown without a living lease while its heartbeat lasts."""

    def leases() -> list[bool]:
        done = run(tmp_path, "status", "--json", REDIS_URL=redis_url)
        return [seen["lease_alive"] for seen in json.loads(done.stdout)["workers"]]

    with Worker(tmp_path, REDIS_URL=redis_url):
        eventually(lambda: leases() == [True])
    eventually(lambda: leases() == [False])


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
    assert run_here(["status", "--json", "--redis-url", redis_url]) == 0
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
