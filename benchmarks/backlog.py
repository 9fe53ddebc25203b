"""Whether a long queue is as fast as a short one, and what it costs the worker in memory.

One worker drains the long queue. Several times on the way it is suspended, and another worker
drains a short queue on the same server: machines grow slower and faster within seconds, and a
server that keeps a million answers is slower than an empty one, so only neighbours in time are
compared, and only the queues' lengths differ.
"""

from collections.abc import Callable
from itertools import pairwise
from statistics import fmean

from attrs import define, field

from benchmarks.drain import Sample, check_answers, rate, watch_drain
from benchmarks.figures import Bound, Figure, ratios
from benchmarks.processes import Measured, worker
from benchmarks.tasks import push_noops
from runtime.redis.connection import sync_client

_SLOTS = 100
_SHORT = "bench:short"
_LOOKS = 10
"""Looks at the queue for each look at the memory."""


@define
class _LongDrain:
    """The worker of the long queue on its way; memory in MiB.

    Attributes:
        process: the worker.
        total: tasks of the queue.
        window: tasks between two pauses.
        pause: what is done while the worker is suspended.
        rates: tasks a second between pauses.
    """

    process: Measured
    total: int
    window: int
    pause: Callable[[], None]
    rates: list[float] = field(factory=list)
    early: float = 0.0
    peak: float = 0.0
    looks: int = 0
    begin: Sample | None = None

    def see(self, sample: Sample) -> None:
        """Take in a look at the queue."""
        if self.looks % _LOOKS == 0:
            self.peak = max(self.peak, self.process.memory())
            if self.looks == 0 or sample.left > self.total * 0.9:
                self.early = self.peak
        self.looks += 1
        if self.begin is None:
            # Not from the first look after a pause: what it shows happened before and during it.
            self.begin = sample
        elif self.begin.left - sample.left >= self.window:
            self.rates.append(rate(self.begin, sample))
            with self.process.suspended():
                self.pause()
            self.begin = None


def measure(
    url: str, short: int, long: int, rounds: int, step: Callable[[float], None]
) -> list[Figure]:
    """Drain the long queue, and the short one several times on the way.

    Args:
        url: an empty server.
        short: tasks of the short queue.
        long: tasks of the long one.
        rounds: how often the short one is drained beside the first time.
        step: called with the share of the work done since the last call.
    """
    shorts: list[float] = []

    def drain_short() -> None:
        shorts.append(_drain_short(url, short))

    # One stretch more than there are pauses, and one for what passes before the looks begin.
    long_one = _drain_long(url, long, long // (rounds + 2), drain_short, step)
    with sync_client(url) as client:
        check_answers(client, long + short * len(shorts))
    # Each stretch of the long queue lies between two drains of the short one.
    beside = [fmean(pair) for pair in pairwise(shorts)]
    return [
        Figure("backlog.short", f"Draining {short:,}", "tasks/s", shorts),
        Figure("backlog.long", f"Draining {long:,}, by stretches", "tasks/s", long_one.rates),
        Figure(
            "backlog.ratio",
            f"Draining {long:,} / {short:,}",
            "",
            ratios(long_one.rates, beside),
            Bound(at_least=0.9),
        ),
        Figure("backlog.memory.early", "Memory, first tenth of it", "MiB", [long_one.early]),
        Figure("backlog.memory.peak", "Memory, at most", "MiB", [long_one.peak]),
        Figure(
            "backlog.memory.ratio",
            "Memory, at most / first tenth",
            "",
            [long_one.peak / long_one.early],
            Bound(at_most=1.1),
        ),
    ]


def _drain_short(url: str, total: int) -> float:
    with sync_client(url) as client:
        push_noops(client, total, queue=_SHORT)
        with worker(url, _SLOTS, queue=_SHORT) as process:
            return watch_drain(client, process, total, queue=_SHORT).rate


def _drain_long(
    url: str, total: int, window: int, pause: Callable[[], None], step: Callable[[float], None]
) -> _LongDrain:
    left = total
    with sync_client(url) as client:
        client.flushall()
        push_noops(client, total)
        pause()
        with worker(url, _SLOTS) as process:
            drain = _LongDrain(process, total, window, pause)

            def each(sample: Sample) -> None:
                nonlocal left
                drain.see(sample)
                step((left - sample.left) / total)
                left = sample.left

            watch_drain(client, process, total, each)
            return drain
