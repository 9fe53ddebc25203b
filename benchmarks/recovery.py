"""From `kill -9` of a worker to the start of its task on another one."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis

from benchmarks.figures import Bound, Figure
from benchmarks.processes import QUEUE, Measured, worker
from benchmarks.tasks import body
from runtime.redis import keys
from runtime.redis.connection import sync_client

_HELD = 120.0
"""Seconds that the victim's task would last."""


def measure(url: str, rounds: int, step: Callable[[], None]) -> list[Figure]:
    """Kill so many workers, one after the other.

    Args:
        url: an empty server.
        rounds: how many.
        step: called after each.
    """
    took: list[float] = []
    for _ in range(rounds):
        with sync_client(url) as client:
            client.flushall()
            took.append(_round(url, client))
        step()
    title = "Kill -9 to restart of its task"
    return [Figure("recovery", title, "s", took, Bound(at_most=5.0))]


def _round(url: str, client: redis.Redis) -> float:
    with tempfile.TemporaryDirectory(prefix="brain-bench-") as directory, ExitStack() as stack:
        journal = Path(directory) / "starts"
        pair = [stack.enter_context(worker(url, 1)) for _ in range(2)]
        for process in pair:
            process.wait_for(lambda: client.hlen(keys.leases(QUEUE)) == len(pair), 60)
        client.rpush(QUEUE, body("bench.hold", {"journal": str(journal), "seconds": _HELD}))
        (pid, _), *_ = pair[0].wait_for(lambda: _starts(journal, 1), 20)
        victim, other = sorted(pair, key=lambda process: process.pid != pid)
        return _kill(victim, other, journal)


def _kill(victim: Measured, other: Measured, journal: Path) -> float:
    killed = time.monotonic_ns()
    victim.process.kill()
    victim.process.wait()
    (_, restarted) = other.wait_for(lambda: _starts(journal, 2), 30)[1]
    return (restarted - killed) / 1e9


def _starts(journal: Path, count: int) -> list[tuple[int, int]]:
    """Return the starts as process and time, once there are so many, whole lines only."""
    if not journal.exists():
        return []
    lines = [line.split() for line in journal.read_text().split("\n")[:-1]]
    return [(int(pid), int(when)) for pid, when in lines] if len(lines) >= count else []
