"""Whether a long queue is as fast as a short one, and what it costs the worker in memory."""

from collections.abc import Callable
from statistics import median

from attrs import define, field

from benchmarks.drain import Drained, Sample, watch_drain
from benchmarks.figures import Bound, Figure
from benchmarks.processes import Measured, worker
from benchmarks.tasks import push_noops
from runtime.redis.connection import sync_client

_SLOTS = 100
_LOOKS = 10
"""Looks at the queue for each look at the memory."""


@define
class _Memory:
    """The memory of a worker while it drains; in MiB."""

    process: Measured
    total: int
    early: float = 0.0
    peak: float = 0.0
    looks: int = field(default=0)

    def see(self, sample: Sample) -> None:
        self.looks += 1
        if self.looks % _LOOKS:
            return
        now = self.process.memory()
        self.peak = max(self.peak, now)
        if sample.left > self.total * 0.9:
            self.early = self.peak


def measure(
    url: str, short: int, long: int, rounds: int, step: Callable[[float], None]
) -> list[Figure]:
    """Drain the short queue several times before and after the long one.

    Args:
        url: an empty server.
        short: tasks of the short queue.
        long: tasks of the long one.
        rounds: how often the short one is drained, before and again after.
        step: called with the share of the work done since the last call.
    """
    part = 0.2 / (2 * rounds)
    rates: list[float] = []

    def drain_short() -> None:
        for _ in range(rounds):
            rates.append(_drain(url, short)[0].rate)
            step(part)

    drain_short()
    drained, memory = _drain(url, long, lambda share: step(0.8 * share))
    drain_short()
    windows = drained.windows(long // 20)
    return [
        Figure("backlog.short", f"Draining {short:,}", "tasks/s", rates),
        Figure("backlog.long", f"Draining {long:,}, by twentieths", "tasks/s", windows),
        Figure(
            "backlog.ratio",
            f"Draining {long:,} / {short:,}",
            "",
            [drained.rate / median(rates)],
            Bound(at_least=0.9),
        ),
        Figure("backlog.memory.early", "Memory, first tenth of it", "MiB", [memory.early]),
        Figure("backlog.memory.peak", "Memory, at most", "MiB", [memory.peak]),
        Figure(
            "backlog.memory.ratio",
            "Memory, at most / first tenth",
            "",
            [memory.peak / memory.early],
            Bound(at_most=1.1),
        ),
    ]


def _drain(
    url: str, total: int, step: Callable[[float], None] = lambda _: None
) -> tuple[Drained, _Memory]:
    left = total
    with sync_client(url) as client:
        push_noops(client, total)
        with worker(url, _SLOTS) as process:
            memory = _Memory(process, total)

            def each(sample: Sample) -> None:
                nonlocal left
                memory.see(sample)
                step((left - sample.left) / total)
                left = sample.left

            return watch_drain(client, process, total, each), memory
