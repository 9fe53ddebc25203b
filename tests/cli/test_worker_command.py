import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from actors import WorkerSettings
from runtime import composition
from runtime.cli.options import Level, WorkerOptions
from runtime.redis.connection import sync_client
from tests.cli.commands import SAMPLE, Queue, Worker, count, environment, run
from tests.polling import eventually
from tests.servers import free_port, make_valkey


def test_burst_answers_what_waits_and_ends(tmp_path: Path, redis_url: str) -> None:
    """With --burst a worker answers all waiting tasks and exits 0."""
    with Queue(redis_url) as queue:
        tasks = [queue.push("echo", {"number": number}) for number in range(5)]
        with Worker(tmp_path, "--burst", REDIS_URL=redis_url) as worker:
            assert worker.end() == 0, worker.log()
        assert [queue.answered(task)["result"] for task in tasks] == [
            {"number": number} for number in range(5)
        ]


def test_a_drain_finishes_what_runs_and_gives_back_the_rest_in_order(
    tmp_path: Path, redis_url: str
) -> None:
    """After SIGTERM the 2 running tasks are answered, 20 others wait in their old order."""
    began, go = tmp_path / "began", tmp_path / "go"
    with Queue(redis_url) as queue:
        payload = {"began": str(began), "file": str(go)}
        tasks = [queue.push("until", payload) for _ in range(22)]
        with Worker(tmp_path, "--redis-url", redis_url).ready() as worker:
            eventually(lambda: count(began) == 2)
            worker.signal()
            worker.says("Stopping: 2 tasks running have up to 30 s to end")
            go.touch()
            assert worker.end() == 0, worker.log()
        assert queue.ids() == tasks[2:]
        assert all(queue.answered(task)["success"] for task in tasks[:2])


def test_past_the_grace_all_tasks_are_back_unchanged(tmp_path: Path, redis_url: str) -> None:
    """With a grace shorter than its tasks, a worker gives all back: same bytes, same order."""
    began = tmp_path / "began"
    with Queue(redis_url) as queue:
        for _ in range(22):
            queue.push("until", {"began": str(began), "file": str(tmp_path / "never")})
        before = queue.bodies()
        with Worker(tmp_path, "--redis-url", redis_url, "--grace", "100ms").ready() as worker:
            eventually(lambda: count(began) == 2)
            assert worker.stop() == 0, worker.log()
        assert queue.bodies() == before


@pytest.mark.parametrize("task_type", ["stick", "shield"])
def test_a_handler_that_ignores_the_end_does_not_keep_the_process(
    tmp_path: Path, redis_url: str, task_type: str
) -> None:
    """A handler that can't be ended loses its task, which goes back, and its process ends."""
    began = tmp_path / "began"
    with Queue(redis_url) as queue:
        task = queue.push(task_type, {"began": str(began)})
        with Worker(tmp_path, "--redis-url", redis_url, "--grace", "0").ready() as worker:
            eventually(lambda: count(began) == 1)
            assert worker.stop() == 0, worker.log()
        assert queue.ids() == [task]
        assert not list((tmp_path / "state").iterdir())


def test_a_blocked_event_loop_does_not_keep_the_process(tmp_path: Path, redis_url: str) -> None:
    """A worker whose event loop doesn't turn ends after its grace, with exit code 1."""
    began = tmp_path / "began"
    with Queue(redis_url) as queue:
        queue.push("block", {"began": str(began)})
        with Worker(tmp_path, "--redis-url", redis_url, "--grace", "0").ready() as worker:
            eventually(lambda: count(began) == 1)
            assert worker.stop() == 1, worker.log()
            assert "hasn't ended in time" in worker.log()


def test_a_second_signal_hurries(tmp_path: Path, redis_url: str) -> None:
    """A second signal doesn't wait for the grace: running tasks go back."""
    began = tmp_path / "began"
    with Queue(redis_url) as queue:
        task = queue.push("until", {"began": str(began), "file": str(tmp_path / "never")})
        with Worker(tmp_path, "--redis-url", redis_url, "--grace", "10m").ready() as worker:
            eventually(lambda: count(began) == 1)
            worker.signal(signal.SIGINT)
            worker.says("Stopping: the task running has up to 600 s to end")
            worker.signal(signal.SIGINT)
            assert worker.end() == 0, worker.log()
        assert queue.ids() == [task]


def test_a_signal_ends_a_worker_that_waits_for_its_server(tmp_path: Path) -> None:
    """A worker that hasn't reached its server yet ends at a signal, with exit code 0."""
    url = f"redis://127.0.0.1:{free_port()}"
    with Worker(tmp_path, "--redis-url", url) as worker:
        worker.says("Waiting for the Redis server")
        assert worker.stop() == 0, worker.log()


def test_answers_that_cannot_be_settled_are_named(tmp_path: Path) -> None:
    """If the server is gone at the end, the worker names the unsettled task and exits 1."""
    began, go = tmp_path / "began", tmp_path / "go"
    with make_valkey() as server, Queue(server.url) as queue:
        task = queue.push("until", {"began": str(began), "file": str(go)})
        with Worker(tmp_path, "--redis-url", server.url, "--grace", "1s").ready() as worker:
            eventually(lambda: count(began) == 1)
            server.kill()
            go.touch()
            assert worker.stop() == 1, worker.log()
            assert f"could not be settled and come back when the lease lapses: {task}" in (
                worker.log()
            )


def test_several_handler_modules_serve_their_queues(tmp_path: Path, redis_url: str) -> None:
    """--handlers may be repeated: all types run, and the queues that handlers name are served."""
    with Queue(redis_url, "brain:mission_tasks") as queue:
        task = queue.push("double", {"number": 21})
        names = ("--handlers", f"{SAMPLE}:handlers", "--handlers", f"{SAMPLE}:more")
        with Worker(tmp_path, *names, REDIS_URL=redis_url).ready() as worker:
            assert queue.answered(task)["result"] == {"doubled": 42}
            assert "echo, nap, fail" in worker.log()
            assert worker.stop() == 0


def test_queues_are_those_that_are_named(tmp_path: Path, redis_url: str) -> None:
    """--queues takes commas and repetition, and replaces the handlers' own queues."""
    with Queue(redis_url, "images") as queue:
        task = queue.push("echo")
        arguments = ("--queues", "films,images", "--queues", "sounds", "--strict-order")
        with Worker(tmp_path, *arguments, REDIS_URL=redis_url).ready() as worker:
            assert queue.answered(task)["success"]
            assert "films, images, sounds" in worker.log()


def test_options_go_before_the_environment(tmp_path: Path, redis_url: str) -> None:
    """An option overrides its variable, and a variable that is empty counts as not set."""
    variables = {
        "REDIS_URL": "redis://nowhere.invalid",
        "WORKER_CONCURRENCY": "7",
        "WORKER_ID": "from-the-environment",
        "LOG_LEVEL": "",
    }
    arguments = ("--redis-url", redis_url, "--worker-id", "from-an-option")
    with Worker(tmp_path, *arguments, **variables).ready() as worker:
        worker.says("Ctrl-C ends the worker")
        assert "Worker from-an-option takes tasks" in worker.log()
        assert "slots     7" in worker.log()
        assert worker.stop() == 0


def test_the_screen_says_how_to_push(tmp_path: Path, redis_url: str) -> None:
    """The command on the screen pushes a task that the worker answers."""
    with Worker(tmp_path, "--redis-url", redis_url).ready() as worker:
        worker.says("Ctrl-C ends the worker")
        command = next(line for line in worker.log().splitlines() if " push " in line)
        pushed = subprocess.run(
            shlex.split(command), check=False, cwd=tmp_path, env=environment(tmp_path)
        )
        assert pushed.returncode == 0, command
        assert worker.stop() == 0


def test_each_log_line_is_one_json_object(tmp_path: Path, redis_url: str) -> None:
    """With --log-format json each line parses, tracebacks within it, and names its task."""
    with Queue(redis_url) as queue:
        done, failed = queue.push("echo"), queue.push("fail", {"why": "two\nlines"})
        arguments = ("--burst", "--log-format", "json", "--concurrency", "1")
        with Worker(tmp_path, *arguments, REDIS_URL=redis_url) as worker:
            assert worker.end() == 0, worker.log()
    lines = [json.loads(line) for line in worker.log().splitlines()]
    said = {line["message"] for line in lines if line.get("task_id") == done}
    assert f"Processing task {done}" in said
    broken = next(line for line in lines if line.get("task_id") == failed and "exception" in line)
    assert broken["task_type"] == "fail"
    assert "ValueError: two\nlines" in broken["exception"]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)


def test_a_suppressed_level_has_no_lines_of_tasks(tmp_path: Path, redis_url: str) -> None:
    """With --log-level warning, neither tasks nor the screen are in the log."""
    with Queue(redis_url) as queue:
        task = queue.push("echo")
        with Worker(tmp_path, "--burst", "--log-level", "WARNING", REDIS_URL=redis_url) as worker:
            assert worker.end() == 0
        assert queue.answered(task)["success"]
    assert "task" not in worker.log().replace("a restart loses all tasks", "")


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    """Neither the worker nor push, status or a refusal shows the password of REDIS_URL."""
    secret = "sesame-4711"  # noqa: S105 - the test's own
    with make_valkey(password=secret) as server, Queue(server.url) as queue:
        queue.push("fail")
        with Worker(tmp_path, "--log-level", "debug", REDIS_URL=server.url).ready() as worker:
            eventually(lambda: "failed" in worker.log())
            shown = [
                run(tmp_path, "push", "echo", "{}", "--wait", REDIS_URL=server.url),
                run(tmp_path, "status", REDIS_URL=server.url),
                run(tmp_path, "status", "--json", REDIS_URL=server.url),
            ]
            assert worker.stop() == 0
        wrong = server.url.replace(secret, secret + "x")
        for bad in (wrong, server.url.replace("redis://", "redsi://"), f"redis://:{secret}"):
            shown += [
                run(tmp_path, "--burst", REDIS_URL=bad),
                run(tmp_path, "push", "a", "{}", REDIS_URL=bad),
            ]
        texts = [worker.log(), *(done.stdout + done.stderr for done in shown)]
    # By then the task that failed may be a dead letter, which is wrong for status.
    assert [done.returncode in {0, 1} for done in shown[:3]] == [True] * 3, texts
    assert all(done.returncode == 2 for done in shown[3:]), texts
    assert not [text for text in texts if secret in text]


def test_two_workers_of_one_server_share_it(tmp_path: Path, redis_url: str) -> None:
    """Workers tell themselves apart by generated names, both visible in their heartbeats."""
    with (
        Worker(tmp_path, REDIS_URL=redis_url).ready(),
        Worker(tmp_path, REDIS_URL=redis_url).ready(),
        sync_client(redis_url) as client,
    ):
        eventually(lambda: len(client.keys("brain:worker:*:heartbeat")) == 2)


@pytest.mark.parametrize(("level", "shown"), [("debug", True), ("info", True), ("warning", False)])
def test_suppressed_lines_are_not_even_made(level: Level, shown: bool) -> None:  # noqa: FBT001 - a case
    """A level that hides the lines of tasks makes the worker skip them: each costs 17 µs."""
    assert composition._settings(WorkerOptions(log_level=level)).log_tasks is shown


def test_options_reach_the_worker() -> None:
    """Each option that is a figure of the worker's arrives there."""
    chosen = WorkerOptions(
        grace=1.0,
        timeout=2.0,
        max_task_bytes=3,
        max_result_bytes=4,
        strict_order=True,
        burst=True,
        log_level="error",
    )
    assert composition._settings(chosen) == WorkerSettings(
        grace=1.0,
        timeout=2.0,
        max_task_bytes=3,
        max_result_bytes=4,
        strict_order=True,
        burst=True,
        log_tasks=False,
    )


def test_options_reach_ollama_and_qdrant(tmp_path: Path) -> None:
    """Address, models and the place of memory are those of the options; nothing connects."""
    ollama, memory = composition._chat_services(
        WorkerOptions(
            ollama_host="gpu:80",
            ollama_model="llama3.2",
            ollama_embed_model="all-minilm",
            qdrant_url="http://qdrant",
        )
    )
    assert (ollama.configured, ollama.address) == (True, "http://gpu:80")
    assert (ollama.model, ollama.embed_model) == ("llama3.2", "all-minilm")
    assert memory.url == "http://qdrant:6333"
    ollama, memory = composition._chat_services(WorkerOptions(data_dir=tmp_path))
    assert (ollama.configured, ollama.address) == (False, "http://127.0.0.1:11434")
    assert (ollama.model, ollama.embed_model) == ("qwen2.5:0.5b", "nomic-embed-text")
    assert repr(memory) == f"Memory({tmp_path / 'qdrant'})"
