"""What a worker costs before it does anything: memory, start-up, import."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from benchmarks.figures import Figure
from benchmarks.latency import waited
from benchmarks.processes import QUEUE, ROOT, worker
from benchmarks.tasks import body
from runtime.redis.connection import sync_client

_REST: Final = 1.0
"""Seconds after its first task in which a worker comes to rest."""

_IMPORT: Final = """
import time
begin = time.perf_counter()
import actors
print(time.perf_counter() - begin)
"""


def measure(url: str, rounds: int, step: Callable[[], None]) -> list[Figure]:
    """Start so many workers, one after the other.

    Args:
        url: an empty server.
        rounds: how many.
        step: called after each.
    """
    starts: list[float] = []
    memory: list[float] = []
    imports: list[float] = []
    for _ in range(rounds):
        start, resident = _start(url)
        starts.append(start)
        memory.append(resident)
        imports.append(_import())
        step()
    return [
        Figure("footprint.memory", "Worker's memory, idle", "MiB", memory),
        Figure("footprint.start", "Worker's exec to its first task's start", "ms", starts),
        Figure("footprint.import", "import actors", "ms", imports),
    ]


def _start(url: str) -> tuple[float, float]:
    """Return the milliseconds that a worker takes to start, and its memory in MiB."""
    with sync_client(url) as client:
        client.flushall()
        stamped = {"sent_ns": time.monotonic_ns()}
        client.rpush(QUEUE, body("bench.stamp", stamped, "first"))
        with worker(url, 2) as process:
            took = waited(client, process, "first")
            time.sleep(_REST)
            return took, process.memory()


def _import() -> float:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return float(done.stdout) * 1000
