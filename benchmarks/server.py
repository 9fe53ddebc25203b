"""A Valkey of the run's own: on a Unix socket, in memory, gone at the end."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis

from benchmarks.processes import BenchmarkError
from runtime.embedded.binaries import valkey_server
from runtime.redis.connection import sync_client

_START: Final = 20.0
"""Seconds that the server may take to answer."""


@contextmanager
def private_server() -> Iterator[str]:
    """Run a server; gives its REDIS_URL.

    Raises:
        BenchmarkError: it doesn't start.
    """
    with tempfile.TemporaryDirectory(prefix="brain-bench-") as name:
        directory = Path(name)
        settings = {"port": "0", "unixsocket": f"{name}/s", "dir": name, "save": ""}
        pairs = [word for key, value in settings.items() for word in (f"--{key}", value)]
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(valkey_server()), *pairs],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A Ctrl-C in the terminal is for the benchmark, which then ends the server.
                start_new_session=True,
            )
        url = f"unix://{name}/s?db=0"
        try:
            _wait(url, process, log)
            yield url
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START
    with sync_client(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text(errors="replace")[-500:]
                    raise BenchmarkError(f"the Valkey server doesn't start: {said}") from None
                time.sleep(0.01)
            else:
                return
