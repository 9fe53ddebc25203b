"""What a worker's metrics cost: the same tasks with `--metrics-port` and without, in turn."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from benchmarks.drain import check_answers, watch_drain
from benchmarks.figures import Bound, Figure, ratios
from benchmarks.processes import worker
from benchmarks.tasks import push_noops
from runtime.redis.connection import sync_client

_SLOTS: Final = 2
_BEST: Final = 4
"""Of all runs a fourth is compared, the fastest: neighbours only ever make one slower."""


def measure(url: str, rounds: int, total: int, step: Callable[[], None]) -> list[Figure]:
    """Measure a worker with metrics and one without in turn, and compare the best of each.

    Args:
        url: an empty server.
        rounds: how often.
        total: tasks of one run.
        step: called after each round.
    """
    rates: defaultdict[bool, list[float]] = defaultdict(list)
    for number in range(rounds):
        # Each goes first in turn, so that a machine that changes its pace favours nobody.
        for metered in (True, False) if number % 2 else (False, True):
            rates[metered].append(_run(url, total, metered=metered))
        step()
    best = -(-rounds // _BEST)
    on, off = (sorted(rates[metered])[-best:] for metered in (True, False))
    title = f"Worker with metrics, {_SLOTS} slots"
    return [
        Figure("metrics.on", title, "tasks/s", on),
        Figure("metrics.ratio", f"{title} / without", "", ratios(on, off), Bound(at_least=0.97)),
    ]


def _run(url: str, total: int, *, metered: bool) -> float:
    options = ("--metrics-port", "0") if metered else ()
    with sync_client(url) as client:
        client.flushall()
        push_noops(client, total)
        with worker(url, _SLOTS, *options) as process:
            drained = watch_drain(client, process, total)
        check_answers(client, total)
        return drained.rate
