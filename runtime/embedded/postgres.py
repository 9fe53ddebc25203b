"""A private PostgreSQL: on a Unix socket only, with an empty database `brain` to begin with."""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

from runtime.embedded.account import Account, unprivileged
from runtime.embedded.binaries import POSTGRES, postgres_program
from runtime.embedded.errors import ServerFailedError
from runtime.embedded.program import Launch, environment, server_directory
from runtime.embedded.sockets import listener, make_private, socket_directory

_PORT: Final = "5432"
_SOCKET: Final = f".s.PGSQL.{_PORT}"
_NAME: Final = "brain"
"""The name of the database and of the user."""

_NOBODY: Final = b"4194305"
"""A number that no process has: Linux counts to 4194304."""


class PostgresProgram:
    """PostgreSQL and its files under a data directory."""

    name = POSTGRES
    polite = signal.SIGINT
    firm = signal.SIGQUIT

    def __init__(self, data_dir: Path) -> None:
        """Find the programs.

        Raises:
            NotInstalledError: The wheel that carries them is missing.
        """
        self.directory = server_directory(data_dir, "postgres")
        self.socket = socket_directory(self.directory, _SOCKET) / _SOCKET
        host = quote(str(self.socket.parent))
        self.url = f"postgresql+asyncpg://{_NAME}@/{_NAME}?host={host}&port={_PORT}"
        self._data = self.directory / "data"
        self._log = self.directory / "log"
        self._account = Account()
        postgres_program("postgres")

    def prepare(self, alive: int) -> None:
        """Make the cluster where it is missing, and void what a killed server left behind.

        Raises:
            NoAccountError: We are root, and no other account can run it.
            ServerFailedError: `initdb` failed.
        """
        program = postgres_program("postgres")
        self._account = unprivileged(self.name, program, self.directory)
        self._account.own(self.directory)
        if self.socket.parent != self.directory:
            make_private(self.socket.parent, *filter(None, [self._account.uid]))
            self._account.own(self.socket.parent)
        if not self._data.exists():
            self._initialise(alive)
        _void_pid_file(self._data / "postmaster.pid")
        for stale in (self.socket, self.socket.with_name(f"{_SOCKET}.lock")):
            stale.unlink(missing_ok=True)

    def launch(self) -> Launch:
        """Return how to start it."""
        settings = {
            "listen_addresses": "",
            "port": _PORT,
            "unix_socket_directories": str(self.socket.parent),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        pairs = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        arguments = ["-D", str(self._data), *pairs]
        command = self._account.command(postgres_program("postgres"), *arguments)
        return Launch(command, self.directory, self._account)

    def answers(self) -> bool:
        """Say whether it serves requests: not while it recovers or shuts down."""
        return listener(self.socket) is not None and self._client("pg_isready").returncode == 0

    def complete(self) -> None:
        """Create the database where it is missing.

        Raises:
            ServerFailedError: It can't be created.
        """
        query = f"SELECT 1 FROM pg_database WHERE datname = '{_NAME}'"  # noqa: S608 - a constant
        if self._psql(query).strip() != "1":
            self._psql(f"CREATE DATABASE {_NAME}")

    def clean(self) -> None:
        """Remove the directory of the socket if it isn't that of the data."""
        if self.socket.parent != self.directory:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    def _initialise(self, alive: int) -> None:
        # Made aside and renamed, so that one that was interrupted isn't taken for a whole one.
        aside = self.directory / "data.new"
        if aside.exists():
            shutil.rmtree(aside)
        arguments = (
            f"--pgdata={aside}",
            f"--username={_NAME}",
            # Whoever can enter the socket's directory, of mode 700, is the owner.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        done = subprocess.run(  # noqa: S603 - our own fixed command line
            self._account.command(postgres_program("initdb"), *arguments),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=self.directory,
            env=environment(),
            start_new_session=True,
            pass_fds=[alive],
            **self._account.options(),
        )
        if done.returncode != 0:
            self._fail(done)
        aside.rename(self._data)

    def _psql(self, statement: str) -> str:
        arguments = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname=postgres")
        done = self._client("psql", *arguments, f"--command={statement}")
        if done.returncode != 0:
            self._fail(done)
        return done.stdout

    def _client(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = (f"--host={self.socket.parent}", f"--port={_PORT}", f"--username={_NAME}")
        return subprocess.run(  # noqa: S603 - our own fixed command line
            [str(postgres_program(program)), *where, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            start_new_session=True,
        )

    def _fail(self, done: subprocess.CompletedProcess[str]) -> None:
        with self._log.open("a") as log:
            log.write(done.stdout + done.stderr)
        words = [line for line in done.stderr.splitlines() if "rror:" in line or "FATAL" in line]
        raise ServerFailedError(self.name, self._log, (words or [f"exit {done.returncode}"])[0])


def _void_pid_file(path: Path) -> None:
    """Make the pid file of a server that is known to have ended name no process.

    PostgreSQL refuses to start when the number is another process's by now. The rest of the file
    stays: it lets PostgreSQL free the shared memory that the killed server had.
    """
    if not path.exists():
        return
    _, newline, rest = path.read_bytes().partition(b"\n")
    if newline:
        path.write_bytes(_NOBODY + newline + rest)
    else:
        # Cut off while it was written.
        path.unlink()
