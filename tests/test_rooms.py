"""What importing a room brings along; the directions themselves are import-linter's."""

import subprocess
import sys

import pytest

SERVERS_AND_TOOLS = (
    "redis",
    "sqlalchemy",
    "asyncpg",
    "httpx",
    "cyclopts",
    "rich",
    "trio",
    "opentelemetry",
)


@pytest.mark.parametrize("room", ["messages", "actors", "runtime", "runtime.memory"])
def test_a_room_brings_no_server_along(room: str) -> None:
    """A service that embeds the actors loads no client, no database and no command line."""
    code = f"import sys, {room}; print(*(set({SERVERS_AND_TOOLS!r}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
