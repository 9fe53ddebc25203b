"""From the push to the start of the handler, on an idle worker, against the floor.

One producer pushes now to the one, now to the other, each time after a pause, so that both meet
the same machine.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Final, cast

import redis

from benchmarks import floor
from benchmarks.figures import Bound, Figure
from benchmarks.processes import QUEUE, BenchmarkError, Measured, running, worker
from benchmarks.tasks import body
from runtime.redis import keys
from runtime.redis.connection import dialer, sync_client
from runtime.redis.links import Link

WARM_UP: Final = 10
"""First pushes that don't count: lazy imports, first calls."""

_PAUSE: Final = (0.004, 0.012)
"""Seconds between pushes: long enough that the consumer waits again, and never in step with it."""


def measure(url: str, pushes: int, step: Callable[[], None]) -> list[Figure]:
    """Measure both side by side.

    Args:
        url: an empty server.
        pushes: how many tasks each gets.
        step: called after each pair.
    """
    with sync_client(url) as client:
        client.flushall()
        with worker(url, 2) as process, running("the floor", "benchmarks.floor", url) as plain:
            process.wait_for(lambda: client.exists(keys.leases(QUEUE)), 60)
            plain.wait_for(lambda: _blocked(client) >= 2, 60)  # both wait
            ids = asyncio.run(_push(url, pushes + WARM_UP, step))
            waits = [waited(client, process, task_id) for task_id in ids]
            bare = [wait / 1e6 for wait in json.loads(plain.outcome())]
    return _figures(waits[WARM_UP:], bare[WARM_UP:])


async def _push(url: str, count: int, step: Callable[[], None]) -> list[str]:
    link = dialer(url)()
    ids = [f"stamp-{number}" for number in range(count)]
    try:
        await link.connect()
        for task_id in ids:
            await push_stamped(link, floor.QUEUE, task_id)
            await push_stamped(link, QUEUE, task_id)
            step()
        await link.send_command("RPUSH", floor.QUEUE, floor.END)
        await link.read_response()
    finally:
        await link.disconnect()
    return ids


async def push_stamped(link: Link, queue: str, task_id: str) -> None:
    """Push a task that tells when it was pushed, after a pause."""
    await asyncio.sleep(random.uniform(*_PAUSE))
    stamped = body("bench.stamp", {"sent_ns": time.monotonic_ns()}, task_id)
    await link.send_command("RPUSH", queue, stamped)
    await link.read_response()


def _blocked(client: redis.Redis) -> int:
    return int(client.info("clients")["blocked_clients"])


def waited(client: redis.Redis, process: Measured, task_id: str) -> float:
    """Return the milliseconds from a task's stamp to its start, once it is answered."""
    raw = process.wait_for(lambda: cast("bytes", client.get(keys.result(task_id))), 60)
    answer = json.loads(raw)
    if not answer["success"]:
        raise BenchmarkError(f"a task failed: {answer['result']}")
    return float(answer["result"]["waited_ns"]) / 1e6


def _figures(waits: list[float], bare: list[float]) -> list[Figure]:
    figures: list[Figure] = []
    for share in (50, 95):
        # Of parts of the run, so that the spread shows.
        ours, theirs = percentiles(waits, share), percentiles(bare, share)
        bound = Bound(at_most=2.0) if share == 50 else None
        quotients = [one / other for one, other in zip(ours, theirs, strict=True)]
        name, title = f"latency.p{share}", f"Push to start, idle, p{share}"
        figures += [
            Figure(f"{name}.floor", f"{title}, floor", "ms", theirs),
            Figure(name, title, "ms", ours),
            Figure(f"{name}.ratio", f"{title} / floor", "", quotients, bound),
        ]
    return figures


def percentiles(waits: list[float], share: int) -> list[float]:
    """Return the percentile of each of a few parts of the run, so that the spread shows."""
    parts = min(5, len(waits) // 20) or 1
    return [_percentile(sorted(waits[part::parts]), share) for part in range(parts)]


def _percentile(ordered: list[float], share: int) -> float:
    return ordered[min(len(ordered) * share // 100, len(ordered) - 1)]
