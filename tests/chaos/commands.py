"""The command line, as an operator types it."""

import subprocess
import sys
from pathlib import Path

from tests.servers import Valkey

_ROOT = Path(__file__).parents[2]


def command(server: Valkey, *words: str) -> str:
    """Run a command of the pool that succeeds, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime", *words, "--redis-url", server.url],
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
