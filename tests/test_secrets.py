"""Secrets in URLs, payloads and error messages: nothing that the pool writes shows them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.redis import keys
from runtime.redis.connection import sync_client
from tests.brain import conftest as brain
from tests.brain.conftest import World
from tests.cli.commands import Queue, Worker, run
from tests.servers import Valkey, eventually, make_valkey

services, world = brain.services, brain.world

REDIS_SECRET = "Red1s-hunter2"  # noqa: S105 - of a test
DATABASE_SECRET = "Dat4base-hunter2"  # noqa: S105
OLLAMA_SECRET = "0llama-hunter2"  # noqa: S105
PAYLOAD_SECRET = "p4yload-hunter2-" + "x'\"\\é" * 9
MARKS = (REDIS_SECRET, DATABASE_SECRET, OLLAMA_SECRET, "p4yload", "hunter2")

LOGIN = {"password": PAYLOAD_SECRET}
FAILING: dict[str, dict[str, Any]] = {
    "pin": LOGIN,
    "reject": LOGIN,
    "raise": LOGIN,
    "thread": LOGIN,
    "process": LOGIN,
    "late": LOGIN,
    "group": LOGIN,
    "url": {},
    "unknown_type": LOGIN,
}
"""Payloads by type, each of which fails in another way."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with make_valkey(password=REDIS_SECRET) as one:
        yield one


@pytest.fixture
def looker(server: Valkey) -> Iterator[Queue]:
    with Queue(server.url, keys.MISSION_QUEUE) as queue:
        yield queue
        queue.client.flushall()


def _malformed() -> list[bytes]:
    """Return bodies that are no tasks, each with the secret in another place."""
    body = {"id": "m1", "type": "raise", "payload": LOGIN, "created_at": "then"}
    text = {**body, "id": "m2", "payload": f"password={PAYLOAD_SECRET[:20]}"}
    listed = {**body, "id": "m3", "payload": [LOGIN]}
    return [
        *(json.dumps(one).encode() for one in (body, text, listed)),
        json.dumps(f"token: {PAYLOAD_SECRET[:20]}").encode(),
        json.dumps({**body, "created_at": f"redis://:{REDIS_SECRET}@h"}).encode(),
        f'{{"password": "{REDIS_SECRET}", '.encode(),
    ]


def _stored(server: Valkey) -> list[str]:
    """Return all that lies on the server but for what producers have sent, which stays (I8)."""
    found = []
    with sync_client(server.url) as client:
        for name in client.scan_iter():
            match client.type(name):
                case b"string":
                    found.append(client.get(name).decode())
                case b"stream":
                    for _, fields in client.xrange(name):
                        assert fields.pop(b"task")
                        found.append(str(fields))
                case b"zset" if not name.endswith(b":delayed"):
                    found.append(str(client.zrange(name, 0, -1)))
                case b"zset":
                    found += [str(json.loads(b).get("errors")) for b in client.zrange(name, 0, -1)]
                case b"hash":
                    found.append(str(client.hgetall(name)))
    return found


def _clean(shown: str, where: str) -> None:
    for mark in MARKS:
        place = shown.find(mark)
        assert place < 0, f"{where} shows a secret: {shown[max(0, place - 200) : place + 100]}"


@pytest.fixture
async def variables(server: Valkey, database_url: str, world: World) -> dict[str, str]:
    """The settings of a worker, a secret in each of its URLs."""
    del world
    _, _, place = database_url.partition("@")
    return {
        "REDIS_URL": server.url,
        "DATABASE_URL": f"postgresql+asyncpg://postgres:{DATABASE_SECRET}@{place}",
    }


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


SERVES = ("--handlers", "brain", "--handlers", "tests.secure_handlers:handlers")


@pytest.mark.anyio
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_output_and_no_key_holds_a_secret(
    server: Valkey, looker: Queue, variables: dict[str, str], tmp_path: Path, log_format: str
) -> None:
    """Tasks fail in every way; logs, results, dead letters and screens hold none of the secrets."""
    await asyncio.to_thread(_fail_in_every_way, server, looker, variables, tmp_path, log_format)


def _fail_in_every_way(
    server: Valkey, looker: Queue, variables: dict[str, str], directory: Path, log_format: str
) -> None:
    arguments = (*SERVES, "--log-format", log_format, "--log-level", "debug")
    with Worker(directory, *arguments, **variables).ready() as worker:
        tasks = {kind: looker.push(kind, payload) for kind, payload in FAILING.items()}
        for body in _malformed():
            looker.client.rpush(looker.name, body)
        answers = {kind: looker.answered(task) for kind, task in tasks.items()}
        eventually(lambda: looker.client.xlen(keys.dead(looker.name)) == 15)
        screens = [
            run(directory, *words, REDIS_URL=server.url)
            for words in (
                ("dead", "list", "--json"),
                ("dead", "show", tasks["raise"]),
                ("dead", "list"),
                ("status", "--json"),
                ("task", tasks["raise"], "--json"),
            )[: 5 if log_format == "text" else 1]
        ]
        assert worker.stop() == 0, worker.log()
    assert not [kind for kind, answer in answers.items() if answer["success"]]
    _clean(json.dumps(answers, ensure_ascii=False), "a result")
    for text in _stored(server):
        _clean(text, "a key")
    for screen in screens:
        # Dead letters are what `status` calls wrong.
        assert screen.returncode == ("status" in screen.args), screen
        _clean(screen.stdout + screen.stderr, str(screen.args))
    _clean(worker.log(), "the log")
    # The test would prove nothing if these texts weren't written at all.
    assert "can't log in as Login(password='***')" in answers["raise"]["result"]["error"]
    assert "no account has the password ***" in answers["reject"]["result"]["error"]
    assert answers["pin"]["result"]["error"].endswith("got *** at payload.password")
    assert "process with password=***" in worker.log()
    assert "postgresql+asyncpg://***@" in answers["url"]["result"]["error"]


def test_a_poison_pill_shows_nothing(server: Valkey, looker: Queue, tmp_path: Path) -> None:
    """A task of which three workers die is put away without its payload."""
    arguments = ("--handlers", "tests.secure_handlers:handlers")
    body = {"id": "killer", "type": "kill", "payload": LOGIN, "deaths": 2}
    looker.client.rpush(looker.name, json.dumps({**body, "created_at": "2024-02-17T10:30:00Z"}))
    with Worker(tmp_path, *arguments, REDIS_URL=server.url) as worker:
        worker.end()
        _clean(worker.log(), "the log")
    with Worker(tmp_path, *arguments, REDIS_URL=server.url) as worker:
        assert looker.answered("killer")["result"]["error_type"] == "poison_pill"
        worker.stop()
        _clean(worker.log(), "the log")
    for text in _stored(server):
        _clean(text, "a key")


@pytest.mark.parametrize(
    "arguments",
    [
        (f"redis://bob:{REDIS_SECRET}@127.0.0.1",),
        ("--redis-url", f"redis://bob:{REDIS_SECRET}@127.0.0.1:x"),
        ("--redis-url", f"http://bob:{REDIS_SECRET}@127.0.0.1"),
        ("--database-url", f"mysql://bob:{DATABASE_SECRET}@127.0.0.1/x"),
        ("--ollama-host", f"http://bob:{OLLAMA_SECRET}@127.0.0.1"),
        ("--qdrant-url", f"http://bob:{OLLAMA_SECRET}@127.0.0.1"),
        ("--concurrency", f"redis://bob:{OLLAMA_SECRET}@127.0.0.1"),
        ("push", "echo", f'{{"password": "{REDIS_SECRET}", '),
    ],
)
def test_wrong_use_shows_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A URL in the wrong place, or one that can't be read, is refused without its secret."""
    done = run(tmp_path, *arguments)
    assert done.returncode == 2, done
    _clean(done.stdout + done.stderr, "the error")


_CRASH = """
import sys
from loguru import logger
from runtime import logs
from runtime.settings_secrets import secrets_of
url = sys.argv[2]
logs.configure("debug", sys.argv[1], secrets=secrets_of([url]))
try:
    raise RuntimeError("no login at " + url + " with " + url.split(":")[2].partition("@")[0])
except RuntimeError as error:
    bound = logger.bind(token="hunter2", places=(url,)).opt(exception=error)
    bound.critical("It crashed at {}", url)
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_crash_report_shows_nothing(log_format: str) -> None:
    """A traceback, a line and what is bound to it show no password of the worker's own URLs."""
    url = f"redis://bob:{REDIS_SECRET}@127.0.0.1:1"
    words = [sys.executable, "-c", _CRASH, log_format, url]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "RuntimeError: no login at redis://***@127.0.0.1:1 with ***" in done.stderr
    _clean(done.stderr, "the report")
