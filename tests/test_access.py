"""The access rules that the project ships: enough for all, and nothing more than is needed."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from runtime.redis import keys, rights
from runtime.redis.connection import dialer
from runtime.redis.links import hang_up, open_link
from tests import access
from tests.brain import conftest as brain
from tests.brain.conftest import World
from tests.cli.commands import Queue, Worker, run
from tests.servers import Valkey, eventually, make_valkey

services, world = brain.services, brain.world

QUEUES = (keys.CLUSTER_QUEUE, keys.MISSION_QUEUE)
LUA = Path(rights.__file__).parent / "lua"

OPTIONAL = {
    "+info": "the server's version and settings go unchecked",
    "+config|get": "whether it keeps data on disk goes unchecked",
    "+client|setinfo": "CLIENT LIST doesn't tell the driver",
    "+client|setname": "told by the connection itself",
    "+select": "only for a database other than 0",
    "+multi": "rights go unchecked",
    "+discard": "likewise",
    "+psubscribe": "agents are freed up to 30 s late",
    "&brain:task:mission-*:result": "likewise",
}
"""Rights of the worker whose absence breaks no task, and what it costs."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with make_valkey() as one:
        yield one


@pytest.fixture
def admin(server: Valkey) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client
        client.flushall()


def _missing(server: Valkey, user: str = "worker") -> rights.Denied:
    async def ask() -> rights.Denied:
        link = dialer(access.url(user, server.port))()
        try:
            await open_link(link, 5)
            return await rights.denied(link, (*rights.of_worker(QUEUES), *rights.of_brain()))
        finally:
            await hang_up(link)

    return asyncio.run(ask())


def test_the_file_is_one_that_a_server_loads(tmp_path: Path) -> None:
    """The file is an `aclfile` as it is; only its last word on the default user is left out."""
    file = tmp_path / "users.acl"
    lines = access.FILE.read_text().splitlines()
    assert lines[0].startswith("user default off ")
    file.write_text("\n".join(lines[1:]) + "\n")
    with make_valkey(extra=["--aclfile", str(file)]) as server, server.client() as client:
        assert {b"worker", b"producer", b"operator"} <= {
            name.encode() if isinstance(name, str) else name for name in client.acl_users()
        }


def test_no_user_may_do_everything_or_log_in_yet() -> None:
    """No rule grants a category of commands, all keys or all channels, and none sets a password."""
    for line in access.FILE.read_text().splitlines():
        words = line.split()
        assert "-@all" in words
        assert not [word for word in words if word.startswith((">", "<", "#", "+@"))]
        assert not {"nopass", "~*", "&*", "allkeys", "allchannels", "allcommands"} & {*words}


def test_the_workers_rules_are_enough(server: Valkey, admin: redis.Redis) -> None:
    """With the file's rules nothing that a worker asks for is forbidden."""
    access.install(admin, "worker")
    assert _missing(server) == rights.Denied()


@pytest.mark.parametrize(
    "right",
    [word for word in access.rules("worker") if word[0] in "+~&" and word not in OPTIONAL],
)
def test_one_right_less_is_named(server: Valkey, admin: redis.Redis, right: str) -> None:
    """Each right that is taken away is missed, by its command or by a key that it stood for."""
    access.install(admin, "worker", [word for word in access.rules("worker") if word != right])
    told = str(_missing(server))
    if right[0] == "+":
        assert re.search(rf"\b{right[1:].replace('|', ' ').upper()}\b", told), told
    else:
        pattern = re.escape(right[1:]).replace(r"\*", "[^ ]*")
        assert re.search(pattern, told), told
    assert "\n" not in told


def test_scripts_call_nothing_else() -> None:
    """Each command that a worker's scripts call is one that it asks for at its start."""
    asked = {str(words[0]) for words in (*rights.of_worker(QUEUES), *rights.of_brain())}
    of_others = {"requeue", "pause", "cancel", "delay", "push", "find", "find_dead"}
    for file in LUA.glob("*.lua"):
        if file.stem not in of_others:
            called = set(re.findall(r"redis\.p?call\('([A-Z]+)'", file.read_text()))
            assert called <= asked, file.name


def _rules_without(word: str) -> list[str]:
    return [one for one in access.rules("worker") if one != word]


def test_a_worker_is_refused_at_its_start(
    server: Valkey, admin: redis.Redis, tmp_path: Path
) -> None:
    """One sentence names all that is missing, the exit code is 2, and no task is lost."""
    access.install(admin, "worker", [one for one in _rules_without("+xadd") if one != "+lrem"])
    with Queue(server.url) as queue:
        queue.push("echo")
        worker = ("--handlers", "tests.cli.sample_handlers:handlers")
        done = run(tmp_path, *worker, REDIS_URL=access.url("worker", server.port))
        assert done.returncode == 2, done
        assert "forbid this user the commands LREM, XADD;" in done.stderr
        assert done.stderr.count("\n") == 1
        assert len(queue.bodies()) == 1


@pytest.mark.parametrize(
    ("right", "named"),
    [
        ("+xadd", "xadd"),
        ("+lmove", "lmove"),
        ("+blmove", "blmove"),
        ("+evalsha", "evalsha"),
        ("~brain:task:*:result", "access a key"),
    ],
)
def test_a_right_taken_from_a_running_worker_loses_nothing(
    server: Valkey, admin: redis.Redis, tmp_path: Path, right: str, named: str
) -> None:
    """The log names what is forbidden; when it is allowed again each task is answered."""
    access.install(admin, "worker")
    variables = {"REDIS_URL": access.url("worker", server.port)}
    with Queue(server.url) as queue, Worker(tmp_path, **variables).ready() as worker:
        access.install(admin, "worker", ["reset", *_rules_without(right)])
        tasks = [queue.push(kind) for kind in ("echo", "no_such_type", "echo")]
        worker.says(named)
        access.install(admin, "worker")
        answers = [queue.answered(task)["success"] for task in tasks]
        assert answers == [True, False, True]
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("right", "asked"),
    [
        ("+rpush", ("push", "echo")),
        ("~brain:cluster_tasks", ("push", "echo")),
        ("~{brain:cluster_tasks}:delayed", ("push", "echo", "--delay", "1m")),
        ("+zadd", ("push", "echo", "--delay", "1m")),
        ("+zscore", ("cancel", "x")),
        ("+zscore", ("task", "x")),
    ],
)
def test_a_producer_is_told_what_is_forbidden(
    server: Valkey, admin: redis.Redis, tmp_path: Path, right: str, asked: tuple[str, ...]
) -> None:
    """One sentence names the command, or what was asked for with the key, and nothing is queued."""
    access.install(admin, "producer", [one for one in access.rules("producer") if one != right])
    done = run(tmp_path, *asked, REDIS_URL=access.url("producer", server.port))
    assert done.returncode == 2, done
    assert "its access rules forbid it" in done.stderr
    assert (f"'{right[1:]}'" if right[0] == "+" else "brain:cluster_tasks") in done.stderr
    assert done.stderr.count("\n") == 1
    assert admin.llen(keys.CLUSTER_QUEUE) == admin.zcard(keys.delayed(keys.CLUSTER_QUEUE)) == 0


class Journey:
    """The main paths, each user with nothing but its own rights."""

    def __init__(self, directory: Path, server: Valkey) -> None:
        self.directory = directory
        self.port = server.port
        self.queue = Queue(access.url("producer", server.port), keys.MISSION_QUEUE)

    def asks(self, user: str, *arguments: str) -> Any:
        done = run(self.directory, *arguments, REDIS_URL=access.url(user, self.port))
        # `status` says with 1 that something is wrong, which it may be.
        assert done.returncode == 0 or (arguments[0] == "status" and done.returncode == 1), done
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def pushes(self, *arguments: str) -> Any:
        return self.asks("producer", "push", *arguments, "--wait", "--json")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_main_paths_need_no_more(
    server: Valkey, admin: redis.Redis, tmp_path: Path, database_url: str, world: World
) -> None:
    """All main paths work when each user has its own rights alone: the server denies nothing."""
    for user in ("worker", "producer", "operator"):
        access.install(admin, user)
    admin.execute_command("ACL", "LOG", "RESET")
    await world.cluster()
    await world.agent("boss", "supervisor")
    await world.agent("w", status="idle")
    variables = {"REDIS_URL": access.url("worker", server.port), "DATABASE_URL": database_url}
    serves = ("--handlers", "brain", "--handlers", "tests.secure_handlers:handlers")
    await asyncio.to_thread(_travel, Journey(tmp_path, server), admin, serves, variables)
    denied = admin.execute_command("ACL", "LOG")
    assert denied == [], denied


def _travel(
    journey: Journey, admin: redis.Redis, serves: tuple[str, ...], variables: dict[str, str]
) -> None:
    mission = ("--queue", keys.MISSION_QUEUE)
    with journey.queue as queue, Worker(journey.directory, *serves, **variables).ready() as first:
        assert journey.pushes("steps", *mission)["result"] == {"saved": {"step": 1}}
        assert journey.pushes("write", *mission, "--delay", "10ms")["success"]
        journey.asks("producer", "push", "write", *mission, "--task-id", "u", "--unique-for", "1m")
        for kind in ("health_check", "collect_metrics"):
            assert journey.pushes(kind, '{"cluster_id": "c"}')["success"], first.log()
        order = {"cluster_id": "c", "task": {"type": "write", "payload": {}}}
        assert journey.pushes("delegate_task", json.dumps(order))["success"], first.log()
        eventually(lambda: b"tick" in b"".join(admin.hkeys(keys.recurring(keys.MISSION_QUEUE))))
        running = queue.push("slow")
        eventually(lambda: admin.get(keys.progress(running)))
        assert journey.asks("producer", "task", running, "--json")["state"] == "running"
        with Worker(journey.directory, *serves, **variables).ready() as second:
            first.signal(9)
            first.end()
            second.says("are back")
            journey.asks("producer", "cancel", running)
            journey.asks("operator", "pause", keys.MISSION_QUEUE)
            journey.asks("operator", "resume", keys.MISSION_QUEUE)
            failed = queue.push("fail")
            queue.answered(failed)
            assert journey.asks("producer", "task", failed, "--json")["state"] == "dead"
            assert len(journey.asks("operator", "dead", "list", "--json")) == 1
            journey.asks("operator", "dead", "requeue", failed)
            queue.answered(failed)
            journey.asks("operator", "dead", "purge", "--all")
            journey.asks("operator", "status", "--json")
            journey.asks("operator", "status")
            assert second.stop() == 0, second.log()
