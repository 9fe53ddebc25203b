"""Which figures are measured, in which order."""

from attrs import frozen

from benchmarks import against, backlog, footprint, latency, metered, recovery, throughput
from benchmarks.figures import Figure
from benchmarks.progress import bars
from benchmarks.server import private_server


@frozen(kw_only=True)
class Sizes:
    """How much of each is done.

    Attributes:
        rounds: of throughput.
        tasks: of one run of throughput.
        metered: rounds of throughput with metrics and without.
        metered_tasks: of one such run.
        pushes: of latency.
        kills: of recovery.
        short: tasks of the short queue.
        long: tasks of the long queue.
        drains: of the short queue, on the way through the long one.
        starts: of the footprint.
    """

    rounds: int
    tasks: int
    metered: int
    metered_tasks: int
    pushes: int
    kills: int
    short: int
    long: int
    drains: int
    starts: int


FULL = Sizes(
    rounds=5,
    tasks=20_000,
    metered=20,
    metered_tasks=60_000,
    pushes=400,
    kills=5,
    short=10_000,
    long=1_000_000,
    drains=10,
    starts=5,
)
QUICK = Sizes(
    rounds=1,
    tasks=8_000,
    metered=1,
    metered_tasks=8_000,
    pushes=40,
    kills=1,
    short=8_000,
    long=40_000,
    drains=1,
    starts=1,
)


def compare_all(revision: str, sizes: Sizes) -> list[Figure]:
    """Measure this version against an earlier one, twice as often as this one alone.

    Raises:
        BenchmarkError: the run can't go on, or what it measured means nothing.
    """
    return against.compare(revision, 2 * sizes.rounds, sizes.tasks, 2 * sizes.pushes)


def measure_all(sizes: Sizes) -> list[Figure]:
    """Measure everything on a private server.

    Raises:
        BenchmarkError: the run can't go on, or what it measured means nothing.
    """
    with private_server() as url, bars() as shown:
        runs = sizes.rounds * (len(throughput.SLOTS) + 1)
        speed = shown.add("Throughput", runs)
        beside = shown.add("Metrics", sizes.metered)
        idle = shown.add("Latency", sizes.pushes + latency.WARM_UP)
        kills = shown.add("Recovery", sizes.kills)
        queue = shown.add("Long queue", 1.0)
        starts = shown.add("Footprint", sizes.starts)
        return [
            *throughput.measure(url, sizes.rounds, sizes.tasks, speed),
            *metered.measure(url, sizes.metered, sizes.metered_tasks, beside),
            *latency.measure(url, sizes.pushes, idle),
            *recovery.measure(url, sizes.kills, kills),
            *backlog.measure(url, sizes.short, sizes.long, sizes.drains, queue),
            *footprint.measure(url, sizes.starts, starts),
        ]
