"""How many tasks that do nothing a whole worker process answers, against the bare loop."""

from collections import defaultdict
from collections.abc import Callable

from benchmarks.drain import check_answers, watch_drain
from benchmarks.figures import Bound, Figure, ratios
from benchmarks.processes import running, worker
from benchmarks.tasks import push_noops
from runtime.redis.connection import sync_client

SLOTS = (1, 2, 10, 100)
_BOUNDS = {2: Bound(at_least=0.2), 100: Bound(at_least=0.3)}
_BARE = 0


def measure(url: str, rounds: int, total: int, step: Callable[[], None]) -> list[Figure]:
    """Measure all in turn, several times, and compare within each round.

    Args:
        url: an empty server.
        rounds: how often.
        total: tasks of one run.
        step: called after each run.
    """
    rates: defaultdict[int, list[float]] = defaultdict(list)
    for number in range(rounds):
        order = [_BARE, *SLOTS]
        # There and back, so that a machine that grows slower or faster favours nobody.
        for slots in order if number % 2 == 0 else reversed(order):
            rates[slots].append(_run(url, slots, total))
            step()
    bare = rates[_BARE]
    figures = [Figure("throughput.bare", "Bare loop over the scripts", "tasks/s", bare)]
    for slots in SLOTS:
        title = f"Worker, {slots} slot{'s' if slots > 1 else ''}"
        figures += [
            Figure(f"throughput.{slots}", title, "tasks/s", rates[slots]),
            Figure(
                f"throughput.{slots}.ratio",
                f"{title} / bare loop",
                "",
                ratios(rates[slots], bare),
                _BOUNDS.get(slots),
            ),
        ]
    return figures


def _run(url: str, slots: int, total: int) -> float:
    with sync_client(url) as client:
        client.flushall()
        push_noops(client, total)
        if slots == _BARE:
            with running("the bare loop", "benchmarks.bare", url) as process:
                drained = watch_drain(client, process, total)
        else:
            with worker(url, slots) as process:
                drained = watch_drain(client, process, total)
        check_answers(client, total)
        return drained.rate
