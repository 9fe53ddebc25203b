"""The barest client: thousands of steps a minute need one without connection pools."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hiredis
from redis.exceptions import NoScriptError, ResponseError

Word = str | bytes | int


class Wire:
    """One blocking connection in RESP2, on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def call(self, *words: Word) -> Any:
        """Send a command and return its reply, or raise it if it is an error."""
        return self.calls([words])[0]

    def calls(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands at once and return their replies."""
        self._socket.sendall(b"".join(hiredis.pack_command(words) for words in commands))
        return [self.read() for _ in commands]

    def read(self) -> Any:
        """Wait for the next reply or message, and return it."""
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server has hung up")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            kind = NoScriptError if str(reply).startswith("NOSCRIPT") else ResponseError
            raise kind(str(reply))
        return reply
