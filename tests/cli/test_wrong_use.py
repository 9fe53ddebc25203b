"""Wrong use and wrong configuration: one sentence, exit code 2, no traceback."""

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.brain import database, schema
from tests.cli.commands import SAMPLE, run
from tests.servers import Postgres, free_port, make_valkey

_OWN = ("--handlers", f"{SAMPLE}:handlers", "--burst")
_SOMEWHERE = "redis://127.0.0.1:1"

CASES = {
    "url": (("--redis-url", "localhost:6379"), {}, "REDIS_URL is 'localhost:6379', expected"),
    "url in the environment": ((), {"REDIS_URL": "http://x"}, "REDIS_URL is 'http://x'"),
    "no concurrency": (("--concurrency", "0"), {}, "--concurrency is '0', expected a whole number"),
    "concurrency in the environment": (
        (),
        {"WORKER_CONCURRENCY": "x"},
        "WORKER_CONCURRENCY is 'x', expected a whole number",
    ),
    "duration": (("--grace", "soon"), {}, "--grace is 'soon', expected seconds of 0 or more"),
    "no time": (("--timeout", "0"), {}, "--timeout is '0', expected seconds above 0"),
    "size": (("--max-task-bytes", "big"), {}, "--max-task-bytes is 'big', expected bytes"),
    "level": ((), {"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud', expected debug or info"),
    "queue": (("--queues", "a,,b"), {}, "--queues is 'a,,b', expected names"),
    "name": (("--worker-id", "a\nb"), {}, r"WORKER_ID is 'a\nb', expected"),
    "option": (("--concurency", "2"), {}, "Did you mean --concurrency?"),
    "command": (("puhs",), {}, "'puhs' has no place here"),
    "database": (
        (
            "--handlers",
            "brain",
            "--redis-url",
            _SOMEWHERE,
            "--database-url",
            "mysql://u:geheim@h/d",
        ),
        {},
        "DATABASE_URL begins with 'mysql://'",
    ),
    "ollama": (
        ("--handlers", "brain", "--redis-url", _SOMEWHERE),
        {"OLLAMA_HOST": "ftp://gpu"},
        "OLLAMA_HOST is 'ftp://gpu', expected host, host:port",
    ),
    "model": (
        ("--handlers", "brain", "--redis-url", _SOMEWHERE, "--ollama-model", " "),
        {},
        "OLLAMA_MODEL is ' ', expected a model's name",
    ),
    "qdrant": (
        ("--handlers", "brain", "--redis-url", _SOMEWHERE, "--qdrant-url", "qdrant:6333"),
        {},
        "QDRANT_URL is 'qdrant:6333', expected http(s)://host:port",
    ),
}
HANDLERS = {
    "no colon": ("tasks", "expected brain, or module:attribute"),
    "no module": ("nowhere:handlers", "there is no 'nowhere' here"),
    "no submodule": ("tests.nowhere:handlers", "there is no 'tests.nowhere' here"),
    "no attribute": (f"{SAMPLE}:absent", "it has no 'absent'"),
    "no handlers": (f"{SAMPLE}:nothing", "of type int, expected an attribute that is an"),
    "an error": ("broken:handlers", "broken raised KeyError: 'SETTING' ("),
    "an exit": ("leaving:handlers", "leaving raised SystemExit: 3"),
    "no syntax": ("wrong:handlers", "wrong raised SyntaxError"),
    "no schedule": (
        "ticking:handlers",
        "ticking raised HandlerError: recurring task 'tick' is due every 'soon', expected '30s'",
    ),
    "a missing package": ("needy:handlers", "needy raised ModuleNotFoundError: No module named"),
}
MODULES = {
    "broken": "import os\nos.environ['SETTING']\n",
    "leaving": "raise SystemExit(3)\n",
    "wrong": "def (:\n",
    "ticking": "from actors import Handlers\nhandlers = Handlers()\n"
    "handlers.every('soon', 'tick')\n",
    "needy": "import a_package_that_is_missing\n",
}


def refused(directory: Path, *arguments: str, **variables: str) -> str:
    """Run a worker that must refuse; return the one line that it says."""
    done = run(directory, *arguments, **variables)
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done
    assert len(lines) == 1, done.stderr
    assert not done.stdout
    return lines[0]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_option_that_cannot_be_used(
    tmp_path: Path, case: tuple[tuple[str, ...], dict[str, str], str]
) -> None:
    """A wrong option or variable is named in one sentence: what came, what belongs there."""
    arguments, variables, expected = case
    own = () if "--handlers" in arguments else _OWN
    said = refused(tmp_path, *arguments, *own, **variables)
    assert expected in said
    assert "geheim" not in said


@pytest.mark.parametrize("case", HANDLERS.values(), ids=HANDLERS)
def test_handlers_that_cannot_be_used(tmp_path: Path, case: tuple[str, str]) -> None:
    """A wrong --handlers is named in one sentence, an error of the user's module with its place."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    handlers, expected = case
    said = refused(tmp_path, "--redis-url", _SOMEWHERE, "--handlers", handlers)
    assert said.startswith("--handlers is ")
    assert expected in said


def test_two_handlers_of_one_type(tmp_path: Path) -> None:
    """Two registries that handle the same type are refused, both functions named."""
    names = ("--handlers", f"{SAMPLE}:handlers,{SAMPLE}:clashing")
    said = refused(tmp_path, "--redis-url", _SOMEWHERE, *names)
    assert "other_echo" in said
    assert "already handles" in said


def test_a_recurring_task_that_nobody_handles(tmp_path: Path) -> None:
    """A recurring task on a queue that is served, but without its handler, is refused."""
    text = "from actors import Handlers\nhandlers = Handlers(queue='q')\n"
    (tmp_path / "idle.py").write_text(f"{text}handlers.every('30s', 'tick')\n")
    names = ("--handlers", "idle:handlers", "--queues", "q")
    said = refused(tmp_path, "--redis-url", _SOMEWHERE, *names)
    assert said.startswith("recurring task 'tick' is of the type 'tick', for which this worker has")


def test_missing_packages(tmp_path: Path) -> None:
    """Without SQLAlchemy, BRAiN's handlers are refused with the command that installs it."""
    missing = "raise ModuleNotFoundError('no', name='sqlalchemy')\n"
    (tmp_path / "sqlalchemy.py").write_text(missing)
    assert 'pip install "brain-worker-pool[brain]"' in refused(tmp_path, "--burst")
    (tmp_path / "cyclopts.py").write_text(missing.replace("sqlalchemy", "cyclopts"))
    assert 'pip install "brain-worker-pool[cli]"' in refused(tmp_path, "--burst")


def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A data directory that can't be made is named, with --data-dir."""
    (tmp_path / "file").touch()
    said = refused(tmp_path, *_OWN, "--data-dir", "file")
    assert "choose a directory that can be written with --data-dir" in said


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A state directory that others can write to is refused."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    said = refused(tmp_path, *_OWN, "--redis-url", _SOMEWHERE, "--state-dir", "open")
    assert "--state-dir is 'open'" in said


def test_a_server_that_stays_out_of_reach(tmp_path: Path) -> None:
    """With --connect-timeout a worker gives up waiting, after it has said that it waits."""
    url = f"redis://127.0.0.1:{free_port()}"
    done = run(tmp_path, *_OWN, "--redis-url", url, "--connect-timeout", "0.3")
    assert done.returncode == 2
    *waiting, last = done.stderr.splitlines()
    assert all("Waiting for the Redis server" in line for line in waiting)
    assert waiting
    assert last == (
        f"The Redis server at {url}/0 can't be reached: connection refused: nothing listens there"
    )


def test_a_server_in_cluster_mode(tmp_path: Path) -> None:
    """A server in cluster mode is refused with the reason."""
    with make_valkey(extra=["--cluster-enabled", "yes"]) as server:
        assert "cluster mode" in refused(tmp_path, *_OWN, "--redis-url", server.url)


def test_a_server_that_is_too_old(tmp_path: Path) -> None:
    """A server older than Redis 7.0 is refused with its version."""
    with _old_server() as port:
        said = refused(tmp_path, *_OWN, "--redis-url", f"redis://127.0.0.1:{port}")
    assert said == (
        "The Redis server can't be used: it is Redis 6.2.14, and Redis 7.0 or newer is needed"
    )


def test_a_database_without_the_tables(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """A database that isn't BRAiN's is refused, and left as it is."""
    said = refused(tmp_path, "--burst", REDIS_URL=redis_url, DATABASE_URL=database_url)
    assert "BRAiN's database: table" in said
    assert "run the migrations" in said


def test_a_database_that_lacks_a_column(
    tmp_path: Path, redis_url: str, postgres_server: Postgres, database_url: str
) -> None:
    """A worker of a database that lacks one column ends with one sentence that names it."""

    async def make() -> None:
        engine = database.engine(database_url, concurrency=1)
        await schema.create_in_empty(engine)
        await engine.dispose()

    asyncio.run(make())
    change = "ALTER TABLE cluster_agents DROP COLUMN avg_task_duration"
    postgres_server.execute(change, database_url.rpartition("/")[2])
    said = refused(tmp_path, "--burst", REDIS_URL=redis_url, DATABASE_URL=database_url)
    assert said == (
        "BRAiN's database: column cluster_agents.avg_task_duration is missing; "
        "run the migrations of BRAiN's backend on the database of DATABASE_URL."
    )


def test_a_database_that_stays_out_of_reach(tmp_path: Path, redis_url: str) -> None:
    """A worker waits for its database, says so, and gives up after --connect-timeout."""
    url = f"postgresql+asyncpg://u:geheim@127.0.0.1:{free_port()}/d"
    arguments = ("--connect-timeout", "0.3", "--redis-url", redis_url)
    done = run(tmp_path, *arguments, DATABASE_URL=url)
    assert done.returncode == 2
    *waiting, last = done.stderr.splitlines()
    assert waiting
    assert all("Waiting for the database" in line for line in waiting)
    assert "the connection is refused" in last
    assert "geheim" not in done.stderr


class _Old(socketserver.StreamRequestHandler):
    """Speaks enough of the protocol to tell its version."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:size].upper())
            body = b"# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n"
            if words[0] == b"INFO":
                self.wfile.write(b"$%d\r\n%s\r\n" % (len(body), body))
            else:
                self.wfile.write(b"-ERR unknown command\r\n")


@contextmanager
def _old_server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Old) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
