import asyncio
import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runtime.cli.options import VARIABLES, WorkerOptions
from runtime.redis.connection import sync_client
from tests.container import compose, dockerfile
from tests.container.compose import ROOT, MissingVariableError
from tests.container.engine import Container, Engine
from tests.ollama import ollama_stand_in
from tests.polling import eventually

OWN = "compose.yml"
JOINED = "compose.brain-network.yml"
WATCHED = "compose.observability.yml"
PASSWORDS = {"REDIS_PASSWORD": "r3d1s", "POSTGRES_PASSWORD": "p0stgr3s"}
PLACES = {"REDIS_URL": "redis://theirs:6379/0", "DATABASE_URL": "postgresql+asyncpg://b@theirs/b"}
ENOUGH = {**PASSWORDS, **PLACES, "GRAFANA_PASSWORD": "gr4f4n4"}
EXAMPLE = (ROOT / ".env.example").read_text()


def services(*files: str) -> dict[str, Any]:
    """Return the services of a project."""
    return compose.read(*files, variables=ENOUGH)["services"]


@pytest.mark.parametrize("file", [OWN, JOINED, WATCHED])
def test_the_files_are_what_the_specification_wants(file: str) -> None:
    """Each file fits the schema of the Compose specification, and so does what they make."""
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    merged = compose.read(OWN, file, variables=ENOUGH)
    for project in (yaml.safe_load((ROOT / file).read_text()), merged):
        assert [error.message for error in validator.iter_errors(project)] == []


def test_the_worker_is_told_what_it_reads() -> None:
    """The worker's variables are those that the code reads; a name is each container's own."""
    metrics = {"METRICS_PORT", "METRICS_HOST"}
    alone, watched = (
        services(*files)["worker"]["environment"] for files in ([OWN], [OWN, WATCHED])
    )
    told = set(VARIABLES) - {"WORKER_ID"}
    assert set(alone) == told - metrics
    assert set(watched) == told


def test_the_example_names_what_can_be_set() -> None:
    """`.env.example` has each variable of the files, with the value that it has by default."""
    listed = compose.settings(EXAMPLE)
    texts = "".join((ROOT / file).read_text() for file in (OWN, JOINED, WATCHED))
    asked = set.union(*(compose.variables_in(file) for file in (OWN, JOINED, WATCHED)))
    assert set(listed) == asked | {"COMPOSE_PROFILES"}
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", texts))
    assert {name: listed[name] for name in defaults} == defaults


@pytest.mark.parametrize("missing", sorted(PASSWORDS))
def test_no_secret_is_in_the_files(missing: str) -> None:
    """Without a password nothing starts, and the message names the variable."""
    with pytest.raises(MissingVariableError, match=missing):
        compose.read(OWN, variables={**PASSWORDS, missing: ""})
    assert compose.settings(EXAMPLE)[missing] == ""


def test_nothing_is_published_and_everything_is_bounded() -> None:
    """No service has a port on the host or a capability; each has limits, and most no way out."""
    project = compose.read(OWN, variables=PASSWORDS)
    assert project["networks"]["backend"] == {"internal": True}
    for name, service in project["services"].items():
        assert "ports" not in service, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        assert (service["networks"] == ["backend"]) is (name != "ollama"), name
    worker = project["services"]["worker"]
    assert worker["read_only"] is True
    assert worker["tmpfs"] == ["/tmp"]  # noqa: S108 - the container's own


def test_names_are_those_of_the_guides() -> None:
    """Containers are called as BRAiN's guides call them: brain-worker-1 and redis."""
    project = compose.read(OWN, variables=PASSWORDS)
    assert project["name"] == "brain"
    assert project["services"]["redis"]["container_name"] == "redis"
    assert "container_name" not in project["services"]["worker"], "it could not be scaled"


def test_the_grace_is_shorter_than_the_engines() -> None:
    """The engine waits longer than a worker takes at most: its grace and 10 s."""
    worker = services(OWN)["worker"]
    assert compose.seconds(worker["stop_grace_period"]) > WorkerOptions().grace + 10


def test_an_image_of_ones_own_keeps_its_options() -> None:
    """The file replaces no option that an image built on ours has, such as --handlers."""
    worker = services(OWN)["worker"]
    assert not {"command", "entrypoint"} & set(worker)
    assert dockerfile.exec_form(dockerfile.one("CMD")) == []


def test_image_and_file_agree() -> None:
    """Stop signal and health check are the image's own."""
    worker = services(OWN)["worker"]
    assert worker["stop_signal"] == dockerfile.one("STOPSIGNAL")
    assert worker["healthcheck"]["test"] == ["CMD", *dockerfile.health_check()]


def test_the_redis_keeps_what_it_is_given() -> None:
    """The server writes an append-only file and refuses what is too much instead of forgetting."""
    words = services(OWN)["redis"]["command"]
    pairs = dict(zip(words[1::2], words[2::2], strict=True))
    assert pairs["--appendonly"] == "yes"
    assert pairs["--maxmemory-policy"] == "noeviction"
    assert pairs["--maxmemory"] == "512mb"


def test_joining_the_network_of_brain() -> None:
    """On BRAiN's network the workers use BRAiN's servers, and none of ours starts."""
    project = compose.read(OWN, JOINED, variables=ENOUGH)
    assert project["networks"]["brain-network"] == {"external": True}
    worker = project["services"]["worker"]
    assert worker["networks"] == ["backend", "brain-network"]
    assert {name: worker["environment"][name] for name in PLACES} == PLACES
    assert all(needed["required"] is False for needed in worker["depends_on"].values())
    started = [name for name, one in project["services"].items() if "profiles" not in one]
    assert started == ["worker"]
    with pytest.raises(MissingVariableError, match="DATABASE_URL"):
        compose.read(OWN, JOINED, variables={**ENOUGH, "DATABASE_URL": ""})


async def test_up_with_three_workers(tmp_path: Path) -> None:
    """Brought up in order with three workers, the project answers README's journey, and drains."""
    async with ollama_stand_in() as ollama:
        variables = {**PASSWORDS, "OLLAMA_HOST": f"127.0.0.1:{ollama.port}"}
        project = compose.read(OWN, variables=variables)
        await asyncio.to_thread(_bring_up, project, tmp_path)


def _bring_up(project: dict[str, Any], directory: Path) -> None:
    with Engine(project, directory) as engine:
        engine.up(worker=3)
        workers = engine.of("worker")
        assert [one.name for one in workers] == [
            "brain-worker-1",
            "brain-worker-2",
            "brain-worker-3",
        ]
        for worker in workers:
            engine.wait_healthy(worker)
        _wait_for_heartbeats(engine, 3)
        _journey(workers[0])
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            assert worker.wait() == 0, worker.logs()
        assert [engine.health(worker) for worker in workers] == [1, 1, 1]


def _wait_for_heartbeats(engine: Engine, count: int) -> None:
    url = f"redis://:{PASSWORDS['REDIS_PASSWORD']}@127.0.0.1:{engine.port('redis')}/0"
    with sync_client(url) as client:
        eventually(lambda: len(client.keys("brain:worker:*:heartbeat")) == count)


def _journey(worker: Container) -> None:
    """Do in a container what README does: each push succeeds, `status` shows three workers."""
    lines = re.findall(r"^    \.venv/bin/(python -m runtime .*)$", _readme_try_it(), re.MULTILINE)
    pushes = [line for line in lines if " push " in line]
    assert len(pushes) == 4
    for line in pushes:
        done = worker.exec(*shlex.split(line))
        assert done.returncode == 0, done
    assert "Good morning!" in done.stdout
    shown = json.loads(worker.exec("python", "-m", "runtime", "status", "--json").stdout)
    assert len(shown["workers"]) == 3
    asked = worker.exec("python", "-c", _LENGTH)
    assert asked.stdout == "0\n", asked


def _readme_try_it() -> str:
    return (ROOT / "README.md").read_text().partition("## Try it")[2].partition("\n## ")[0]


_LENGTH = """
import asyncio
from runtime import TaskQueue

async def length():
    async with TaskQueue() as queue:
        return await queue.get_queue_length()

print(asyncio.run(length()))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio
