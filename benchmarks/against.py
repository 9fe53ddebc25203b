"""Whether this version is as fast as an earlier one, both measured in turn in one run."""

import asyncio
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Final

from benchmarks.drain import check_answers, watch_drain
from benchmarks.figures import Bound, Figure, ratios
from benchmarks.latency import WARM_UP, percentiles, push_stamped, waited
from benchmarks.processes import QUEUE, ROOT, BenchmarkError, worker
from benchmarks.progress import bars
from benchmarks.server import private_server
from benchmarks.tasks import push_noops
from runtime.redis import keys
from runtime.redis.connection import dialer, sync_client

SLOTS: Final = (2, 100)
_EARLIER: Final = "bench:earlier"
_CLOSE: Final = 0.05
"""The share by which this version may be slower."""


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Lay a revision's files out in a folder, for as long as the block.

    Raises:
        BenchmarkError: there is no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="brain-bench-") as directory:
        place = Path(directory) / "tree"
        added = subprocess.run(
            ["git", "worktree", "add", "--detach", str(place), revision],  # noqa: S607 - the one on the path
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        if added.returncode != 0:
            raise BenchmarkError(f"{revision} can't be laid out: {added.stderr.strip()}")
        try:
            yield place
        finally:
            remove = ["git", "worktree", "remove", "--force", str(place)]
            subprocess.run(remove, cwd=ROOT, check=False, capture_output=True)


def compare(revision: str, rounds: int, tasks: int, pushes: int) -> list[Figure]:
    """Measure throughput and idle latency of both versions.

    Args:
        revision: of the earlier one, as git knows it.
        rounds: of throughput.
        tasks: of one run of throughput.
        pushes: of latency, to each version.

    Raises:
        BenchmarkError: the run can't go on, or what it measured means nothing.
    """
    with checkout(revision) as earlier, private_server() as url, bars() as shown:
        drains = shown.add("Throughput", rounds * len(SLOTS) * 2)
        idle = shown.add("Latency", pushes + WARM_UP)
        return [
            *_throughput(url, earlier, rounds, tasks, drains),
            *_latency(url, earlier, pushes, idle),
        ]


def _throughput(
    url: str, earlier: Path, rounds: int, tasks: int, step: Callable[[], None]
) -> list[Figure]:
    rates: defaultdict[tuple[int, Path], list[float]] = defaultdict(list)
    for number in range(rounds):
        for slots in SLOTS:
            # Each goes first in turn, so that a machine that changes its pace favours nobody.
            for root in (ROOT, earlier) if number % 2 else (earlier, ROOT):
                rates[slots, root].append(_drain(url, slots, tasks, root))
                step()
    figures: list[Figure] = []
    for slots in SLOTS:
        now, before = rates[slots, ROOT], rates[slots, earlier]
        name, title = f"against.{slots}", f"Worker, {slots} slots"
        figures += [
            Figure(f"{name}.earlier", f"{title}, earlier", "tasks/s", before),
            Figure(name, title, "tasks/s", now),
            Figure(
                f"{name}.ratio",
                f"{title} / earlier",
                "",
                ratios(now, before),
                Bound(at_least=1 - _CLOSE),
            ),
        ]
    return figures


def _drain(url: str, slots: int, tasks: int, root: Path) -> float:
    with sync_client(url) as client:
        client.flushall()
        push_noops(client, tasks)
        with worker(url, slots, root=root) as process:
            drained = watch_drain(client, process, tasks)
        check_answers(client, tasks)
        return drained.rate


def _latency(url: str, earlier: Path, pushes: int, step: Callable[[], None]) -> list[Figure]:
    with sync_client(url) as client:
        client.flushall()
        with worker(url, 2) as now, worker(url, 2, queue=_EARLIER, root=earlier) as before:
            now.wait_for(lambda: client.exists(keys.leases(QUEUE)), 60)
            before.wait_for(lambda: client.exists(keys.leases(_EARLIER)), 60)
            # Both have leases and wait: the first push that comes sooner is part of the warm-up.
            ids = asyncio.run(_push(url, pushes + WARM_UP, step))
            waits = {
                queue: [waited(client, process, task_id) for task_id in ids[queue]][WARM_UP:]
                for queue, process in {QUEUE: now, _EARLIER: before}.items()
            }
    theirs, ours = percentiles(waits[_EARLIER], 50), percentiles(waits[QUEUE], 50)
    title = "Push to start, idle, p50"
    return [
        Figure("against.latency.earlier", f"{title}, earlier", "ms", theirs),
        Figure("against.latency", title, "ms", ours),
        Figure(
            "against.latency.ratio",
            f"{title} / earlier",
            "",
            [one / other for one, other in zip(ours, theirs, strict=True)],
            Bound(at_most=1 + _CLOSE),
        ),
    ]


async def _push(url: str, count: int, step: Callable[[], None]) -> dict[str, list[str]]:
    link = dialer(url)()
    begun = time.monotonic_ns()
    ids: dict[str, list[str]] = {QUEUE: [], _EARLIER: []}
    turns = cycle([(QUEUE, _EARLIER), (_EARLIER, QUEUE)])
    try:
        await link.connect()
        for number in range(count):
            for queue in next(turns):
                task_id = f"{queue}-{begun}-{number}"
                ids[queue].append(task_id)
                await push_stamped(link, queue, task_id)
            step()
    finally:
        await link.disconnect()
    return ids
