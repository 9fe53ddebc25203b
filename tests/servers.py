"""Private servers for tests: real ones, on loopback, that tests may kill, stop and restart."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded.account import unprivileged
from runtime.embedded.binaries import POSTGRES, postgres_program, valkey_server
from tests.polling import eventually, eventually_async

__all__ = [
    "SERVERS",
    "Postgres",
    "Valkey",
    "eventually",
    "eventually_async",
    "free_port",
    "make_valkey",
]
# Not the shared generator, which pytest-randomly seeds alike in every xdist worker.
_RANDOM = random.SystemRandom()

SERVERS: set[int] = set()
"""Process ids of the servers that are kept here; the guard against leaked processes spares them."""


def free_port() -> int:
    """Return a loopback port that is free now and that no outgoing connection will be given."""
    # Below the ephemeral range: a server that restarts must find its port free.
    while True:
        port = _RANDOM.randrange(16_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class _Server:
    """A child process that is started, killed, suspended and restarted on the same directory."""

    def __init__(self) -> None:
        # Short, so that the sockets' paths stay below the 107 bytes that a path may have.
        self.directory = Path(tempfile.mkdtemp(prefix="brain-"))
        self.port = free_port()
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server isn't running"
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers; does nothing if it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        for _ in range(10):
            self._spawn()
            if eventually(lambda: self._answers() or self._ended(), what="server answers or ends"):
                if not self._ended():
                    return
                self._reap()
        raise AssertionError(f"the server doesn't start:\n{self.log.read_text()[-2000:]}")

    def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal that ends the server, and wait for its end; does nothing if it has."""
        if self._process is None:
            return
        self._process.send_signal(sign)
        self._process.send_signal(signal.SIGCONT)
        self._reap()

    def stop(self) -> None:
        """End the server in an orderly way."""
        self.kill(signal.SIGTERM)

    def restart(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End the server with a signal, then start it on the same port and files."""
        self.kill(sign)
        self.start()

    def pause(self) -> None:
        """Suspend the server: it accepts connections and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server go on; does nothing to one that runs."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the server for good and remove its files."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                **self._options(),
            )
        SERVERS.add(self._process.pid)

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(30)
            SERVERS.discard(self._process.pid)
            self._process = None

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _options(self) -> dict[str, object]:
        return {}

    def _answers(self) -> bool:
        raise NotImplementedError


class Valkey(_Server):
    """A Valkey server on a loopback port and a Unix socket."""

    def __init__(self, arguments: Sequence[str] = (), password: str | None = None) -> None:
        super().__init__()
        self.password = password
        self.socket = self.directory / "s"
        self._arguments = list(arguments)

    @property
    def url(self) -> str:
        """The server's URL over TCP."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The server's URL over its Unix socket."""
        login = f":{self.password}@" if self.password else ""
        return f"unix://{login}{self.socket}?db=0"

    def client(self, **options: object) -> redis.Redis:
        """Return a blocking client that never retries, to look into the server; close it."""
        return redis.Redis.from_url(self.unix_url, retry=Retry(NoBackoff(), 0), **options)

    def reset(self) -> None:
        """Bring a server that a test may have left in any state back to that of a new one."""
        self.start()
        self.resume()
        with self.client() as client:
            client.execute_command("CLIENT", "UNPAUSE")
            for kind in ("NORMAL", "PUBSUB"):
                client.client_kill_filter(_type=kind, skipme=True)
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            if others := [name for name in client.acl_users() if name != "default"]:
                client.acl_deluser(*others)
            client.flushall()
            client.script_flush()
            client.function_flush()

    def _command(self) -> Sequence[str]:
        login = ["--requirepass", self.password] if self.password else []
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": self.socket,
            "dir": self.directory,
            "save": "",
            "enable-debug-command": "local",
        }
        pairs = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        return [str(valkey_server()), *pairs, *login, *self._arguments]

    def _answers(self) -> bool:
        try:
            with redis.Redis(
                port=self.port, password=self.password, retry=Retry(NoBackoff(), 0)
            ) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


@contextlib.contextmanager
def make_valkey(
    *,
    appendonly: bool = False,
    appendfsync: str = "always",
    maxmemory: int | str | None = None,
    extra: Sequence[str] = (),
    password: str | None = None,
) -> Iterator[Valkey]:
    """Run a server of a test's own.

    Args:
        appendonly: Whether to keep an append-only file, so that a restart loses nothing.
        appendfsync: When that file is synced: `always`, `everysec` or `no`.
        maxmemory: Limit in bytes, or as Valkey writes it; refusing writes beyond (`noeviction`).
        extra: More arguments, such as `["--databases", "2"]`.
        password: The default user's password.
    """
    arguments = []
    if appendonly:
        arguments += ["--appendonly", "yes", "--appendfsync", appendfsync]
    if maxmemory is not None:
        arguments += ["--maxmemory", str(maxmemory), "--maxmemory-policy", "noeviction"]
    server = Valkey([*arguments, *extra], password)
    try:
        server.start()
        yield server
    finally:
        server.close()


class Postgres(_Server):
    """A PostgreSQL cluster on a loopback port and a Unix socket, open to everyone who reaches it.

    It syncs nothing: it survives a kill, not a power cut.
    """

    def __init__(self) -> None:
        super().__init__()
        self._account = unprivileged(POSTGRES, postgres_program("postgres"), self.directory)
        self._account.own(self.directory)
        initdb = self._account.command(
            postgres_program("initdb"),
            *(f"--pgdata={self.directory / 'data'}", "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        subprocess.run(
            initdb, check=True, capture_output=True, cwd=self.directory, **self._account.options()
        )

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, as SQLAlchemy takes it."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement and return its rows, one a line, columns parted by `|`."""
        psql = str(postgres_program("psql"))
        command = [psql, "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-U", "postgres", "-d", database, "-c", statement]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop(self) -> None:
        """End the server in an orderly way, its connections cut."""
        self.kill(signal.SIGINT)

    def _command(self) -> Sequence[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": 60,
        }
        pairs = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = str(self.directory / "data")
        return self._account.command(postgres_program("postgres"), "-D", data, *pairs)

    def _options(self) -> dict[str, object]:
        return dict(self._account.options())

    def _answers(self) -> bool:
        ready = [str(postgres_program("pg_isready")), "-q", "-h", "127.0.0.1"]
        return subprocess.run([*ready, "-p", str(self.port)], check=False).returncode == 0
