import json
from pathlib import Path
from typing import Any

from runtime.pool.desired import took
from tests.cli.commands import Queue, Worker, count, run
from tests.polling import eventually

_SAMPLE = ("--handlers", "tests.cli.sample_handlers:handlers")


def _desired(directory: Path, url: str, *words: str) -> dict[str, Any]:
    done = run(directory, "desired", "--json", *words, REDIS_URL=url)
    assert done.returncode == 0, done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_counts_what_waits_and_how_long(tmp_path: Path, redis_url: str) -> None:
    """What waits on a queue without workers brings as many as begin it within the target."""
    assert _desired(tmp_path, redis_url)["workers"] == 1
    with Queue(redis_url, "mine") as queue:
        for _ in range(40):
            queue.push("nap", {"seconds": 1})
    found = _desired(tmp_path, redis_url, "--max", "20", "--queues", "mine")
    assert found["workers"] == 4
    assert (found["waiting"], found["in_flight"], found["current"]) == (40, 0, 0)
    assert found["oldest_s"] > 1e6
    assert found["queues"] == ["mine"]
    assert _desired(tmp_path, redis_url, "--max", "3", "--queues", "mine")["workers"] == 3
    said = run(tmp_path, "desired", "--max", "20", "--queues", "mine", REDIS_URL=redis_url).stdout
    assert said.startswith("4 workers (0 serve now): ")


def test_it_counts_what_runs_while_the_list_is_empty(tmp_path: Path, redis_url: str) -> None:
    """With the list empty and all slots busy no worker is one too many, unlike by its length."""
    with (
        Worker(tmp_path, *_SAMPLE, "--concurrency", "3", REDIS_URL=redis_url).ready() as worker,
        Queue(redis_url) as queue,
    ):
        began = tmp_path / "began"
        for _ in range(3):
            queue.push("until", {"file": str(tmp_path / "go"), "began": str(began)})
        eventually(lambda: count(began) == 3)
        found = _desired(tmp_path, redis_url, "--max", "20")
        assert found["in_flight"] == 3
        assert len(queue.bodies()) == 0
        assert (found["slots"], found["current"], found["waiting"]) == (3, 1, 0)
        assert found["workers"] == 2
        (tmp_path / "go").touch()
        assert worker.stop() == 0


def test_it_says_what_is_wrong(tmp_path: Path, redis_url: str) -> None:
    """Bounds that exclude each other, and a server that is away, are one sentence and 2."""
    done = run(tmp_path, "desired", "--min", "3", "--max", "2", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (
        2,
        "--max is 2, expected at least --min, which is 3\n",
    )
    done = run(tmp_path, "desired", REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_times_are_those_of_the_heartbeats() -> None:
    """The time that a task takes is the mean over all workers; other queues don't count."""
    beats = [
        {"last_minute": {"q": {"tasks": 9, "failed": 0, "ran": 8, "seconds": 4.0}}},
        {"last_minute": {"q": {"tasks": 2, "ran": 2, "seconds": 6.0}, "other": {"ran": 50}}},
        {"last_minute": "nonsense"},
        {},
    ]
    assert took(beats, ["q"]) == 1.0
    assert took(beats, ["r"]) == 1.0
    assert took([{"last_minute": {"q": {"ran": 4, "seconds": 1.0}}}], ["q"]) == 0.25
