"""A process that uses the private servers of a data directory, for tests to start and to kill."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime import embedded
from runtime.embedded.binaries import postgres_program
from runtime.embedded.postgres import PostgresProgram
from runtime.embedded.sockets import listener
from runtime.embedded.valkey import ValkeyProgram

BOTH = ("valkey", "postgres")


class User:
    """A process that joins the servers, says so, and leaves when it is told to."""

    def __init__(self, data_dir: Path, kinds: Sequence[str] = BOTH) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded_user", str(data_dir), *kinds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            # A session of its own stands for a terminal.
            start_new_session=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def joined(self) -> dict[str, str | None]:
        """Wait until it has joined, and return the servers' URLs."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the user ended without having joined"
        urls: dict[str, str | None] = json.loads(line)
        return urls

    def leave(self) -> None:
        """Let it leave, and wait for its end."""
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def interrupt(self) -> None:
        """Press Ctrl-C in its terminal, and wait for its end."""
        os.killpg(self.pid, signal.SIGINT)
        self._process.communicate(timeout=60)

    def kill(self) -> None:
        """Kill it, if it hasn't ended."""
        self._process.kill()
        self._process.communicate(timeout=60)


def server(data_dir: Path, kind: str) -> int | None:
    """Return the id of the process that listens on a server's socket, None if none does."""
    program = ValkeyProgram(data_dir) if kind == "valkey" else PostgresProgram(data_dir)
    return listener(program.socket)


def processes(data_dir: Path) -> set[int]:
    """Return the ids of all processes that work in a data directory."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            where = (entry / "cwd").readlink()
        except OSError:
            continue
        if where.is_relative_to(data_dir):
            found.add(int(entry.name))
    return found


def put(data_dir: Path, kind: str, value: str) -> None:
    """Store a value in a server, durably as any client would."""
    if kind == "valkey":
        with _client(data_dir) as client:
            client.rpush("values", value)
    else:
        _psql(data_dir, "CREATE TABLE IF NOT EXISTS t (v text)")
        _psql(data_dir, f"INSERT INTO t VALUES ('{value}')")  # noqa: S608 - a test's own value


def values(data_dir: Path, kind: str) -> list[str]:
    """Return the values stored in a server."""
    if kind == "valkey":
        with _client(data_dir) as client:
            return [value.decode() for value in client.lrange("values", 0, -1)]
    return _psql(data_dir, "SELECT v FROM t").split()


def _client(data_dir: Path) -> redis.Redis:
    path = str(ValkeyProgram(data_dir).socket)
    return redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0))


def _psql(data_dir: Path, statement: str) -> str:
    where = ["-h", str(PostgresProgram(data_dir).socket.parent), "-p", "5432", "-U", "brain"]
    command = [str(postgres_program("psql")), "-XAtq", *where, "-d", "brain", "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def _main(data_dir: str, *kinds: str) -> None:
    async with embedded.servers(
        Path(data_dir), valkey="valkey" in kinds, postgres="postgres" in kinds
    ) as urls:
        print(  # noqa: T201 - the test reads it
            json.dumps({"valkey": urls.redis_url, "postgres": urls.database_url}), flush=True
        )
        ending = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(sys.stdin, ending.cancel)
        await asyncio.wait([ending])


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
