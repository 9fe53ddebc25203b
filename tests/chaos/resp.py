"""The Redis protocol on a bare socket: no client library between the test and the bytes."""

import socket
from typing import Any, Self


class Resp:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def call(self, *words: str | bytes) -> Any:
        """Send a command and return its reply."""
        encoded = [word.encode() if isinstance(word, str) else word for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self) -> Any:
        """Read one reply, or one message of a subscription."""
        line = self._stream.readline().removesuffix(b"\r\n")
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest.decode()
            case b":":
                return int(rest)
            case b"$" if int(rest) < 0:
                return None
            case b"$":
                data = self._stream.read(int(rest) + 2)
                return data[:-2]
            case b"*":
                return [self.reply() for _ in range(int(rest))]
            case _:
                raise AssertionError(line)
