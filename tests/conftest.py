"""Servers, databases and guards that every test may use."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import SERVERS, Postgres, Valkey, eventually, make_valkey

# Helpers of the standard library that outlive their first user by design.
_LASTING = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")


def _mind(sign: signal.Signals) -> None:
    """Let processes that tests start mind a signal, though this one was told to ignore it.

    A shell does so to what it runs in the background, `nohup` to what it runs at all.
    """
    if signal.getsignal(sign) is signal.SIG_IGN:
        signal.signal(sign, signal.SIG_DFL)


_mind(signal.SIGINT)
_mind(signal.SIGHUP)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The test process's own Valkey, without persistence; use `redis_url` for a clean one."""
    with make_valkey() as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: Valkey) -> str:
    """The URL of an empty Valkey with its settings as they come."""
    valkey_server.reset()
    return valkey_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The test process's own PostgreSQL cluster; use `database_url` for an empty database."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def database_url(postgres_server: Postgres) -> Iterator[str]:
    """The URL of an empty database, dropped after the test."""
    postgres_server.start()
    postgres_server.resume()
    name = f"test_{uuid.uuid4().hex}"
    # Copying files is four times as fast as writing all of them to the log, which nobody syncs.
    postgres_server.execute(f"CREATE DATABASE {name} STRATEGY = FILE_COPY")
    yield postgres_server.database(name)
    postgres_server.start()
    postgres_server.resume()
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail a test that leaves a child process, and end it, so that no other test suffers."""
    before = _children()
    yield
    try:
        eventually(lambda: _children() <= before, timeout=5, what="every child process has ended")
    except AssertionError:
        left = {pid: _command_line(pid) for pid in _children() - before}
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        pytest.fail(f"processes left behind: {left}")


def _children() -> set[int]:
    """Return the ids of our child processes, those not waited for among them."""
    pids = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(int(entry.name)) == os.getpid():
            pids.add(int(entry.name))
    lasting = {pid for pid in pids if any(word in _command_line(pid) for word in _LASTING)}
    return pids - SERVERS - lasting


def _parent(pid: int) -> int | None:
    try:
        # The name in parentheses may hold anything; what follows it doesn't.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
