"""Stands in for `redis-cli` in a health check: the wheel has the server only.

Speaks the server's own protocol: logs in with REDISCLI_AUTH, sends the command, prints the reply;
with -e an error is exit code 1.
"""

import os
import socket
import sys


def main() -> int:
    """Send one command and return the exit code."""
    words = sys.argv[1:]
    port = int(words[words.index("-p") + 1]) if "-p" in words else 6379
    at = words.index("-p") if "-p" in words else None
    command = words if at is None else words[:at] + words[at + 2 :]
    fails = "-e" in command
    command = [word for word in command if word != "-e"]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link, link.makefile() as lines:
        password = os.environ.get("REDISCLI_AUTH")
        reply = ""
        for words in ([["AUTH", password]] if password else []) + [command]:
            link.sendall(_encoded(words))
            reply = lines.readline().strip()
    print(reply[1:])  # noqa: T201 - it is a command
    return 1 if fails and reply.startswith("-") else 0


def _encoded(words: list[str]) -> bytes:
    parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{parts}".encode()


if __name__ == "__main__":
    sys.exit(main())
