"""What one worker measures of itself, and shows at a scrape."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from loguru import logger
from prometheus_client import CollectorRegistry, ProcessCollector

from actors import Statistics, Worker
from runtime.metrics import catalogue
from runtime.metrics.catalogue import Family
from runtime.metrics.endpoint import endpoint
from runtime.metrics.families import count_of, fill, histogram_of, value_of
from runtime.metrics.loop_reader import LoopReader
from runtime.metrics.redis_calls import RedisCalls
from runtime.metrics.service_meters import CountsConnections, OllamaCalls, Pool
from runtime.metrics.task_tally import Registered, TaskTally


class WorkerMetrics:
    """All that is measured of one worker.

    It is the collector of its `registry`: nothing is computed before somebody asks.
    """

    def __init__(self) -> None:
        self.tasks = TaskTally()
        self.redis = RedisCalls()
        self.ollama = OllamaCalls()
        self.pool: Pool | None = None
        self.registry = CollectorRegistry()
        self._statistics: Callable[[], Statistics] | None = None
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def __repr__(self) -> str:
        return f"WorkerMetrics({self.tasks!r}, {self.redis!r})"

    @contextmanager
    def served(
        self, worker: Worker, handlers: Mapping[str, Registered], host: str, port: int
    ) -> Iterator[str]:
        """Measure a worker and serve that for as long as the block; entered on its event loop.

        Args:
            worker: who is measured.
            handlers: the task types that are told apart.
            host: where to listen.
            port: likewise; 0 for any that is free.

        Raises:
            ConfigurationError: nothing can listen there.
        """
        self.tasks.declare(worker.statistics().queues, handlers)
        self._statistics = LoopReader(worker.statistics)
        settings = ("--metrics-host", "--metrics-port")
        with endpoint(self.registry, host, port, settings=settings) as url:
            logger.info("Metrics are at {}", url)
            yield url

    def watch_pool(self, pool: CountsConnections) -> None:
        """Read the database pool's figures from now on."""
        self.pool = Pool(pool)

    def collect(self) -> Iterable[Family]:
        """Return what there is to show at this moment; called from the endpoint's thread."""
        yield from self._tasks()
        yield from self._redis()
        if self._statistics is not None:
            yield from _worker(self._statistics())
        if self.pool is not None:
            yield from self.pool.collect()
        yield from self.ollama.collect()

    def _tasks(self) -> Iterable[Family]:
        ended, runs, waits = (
            catalogue.TASKS.counter(),
            catalogue.RUN.histogram(),
            catalogue.WAIT.histogram(),
        )
        for (queue, name), tally in self.tasks.types().items():
            for outcome, count in list(tally.outcomes.items()):
                ended.add_metric((queue, name, outcome), count)
            # What never ran has no distribution, and would make most of the lines.
            for family, histogram in ((runs, tally.runs), (waits, tally.waits)):
                if any(histogram.counts):
                    fill(family, (queue, name), histogram)
        dead = catalogue.DEAD.counter()
        for (queue, reason), count in list(self.tasks.dead.items()):
            dead.add_metric((queue, reason.value), count)
        yield from (ended, runs, waits, dead)
        yield histogram_of(catalogue.BATCH, self.tasks.batches)

    def _redis(self) -> Iterable[Family]:
        calls = catalogue.CALL.histogram()
        for name, histogram in list(self.redis.calls.items()):
            fill(calls, (name,), histogram)
        yield calls
        lease, loop = self.redis.lease, self.redis.loop
        renewals = lease.failures if lease is not None else 0
        yield count_of(catalogue.ERRORS, self.redis.errors + renewals)
        if lease is not None:
            yield value_of(catalogue.MARGIN, lease.margin())
            yield count_of(catalogue.LAPSES, lease.lapses)
        if loop is not None:
            yield value_of(catalogue.LAG, loop.lag())
            yield count_of(catalogue.STALLS, loop.stalls)


def _worker(found: Statistics) -> Iterable[Family]:
    yield value_of(catalogue.SLOTS, found.slots)
    yield value_of(catalogue.BUSY, len(found.running))
    yield value_of(catalogue.OLDEST, max((task.seconds for task in found.running), default=0.0))
    yield value_of(catalogue.BUFFERED, found.buffered)
    yield value_of(catalogue.UNSETTLED, found.unsettled)
    yield value_of(catalogue.LEFT_BEHIND, len(found.left_behind))
    yield count_of(catalogue.HANDED_BACK, found.released)
    yield count_of(catalogue.RECLAIMED, found.reclaimed)
    info = catalogue.INFO.gauge()
    info.add_metric((found.worker_id, version("brain-worker-pool")), 1)
    yield info
