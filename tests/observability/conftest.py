"""The show: workers, exporter and Prometheus under load, then one trouble after the other."""

import asyncio
import json
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import define, field

from runtime.brain import database, schema
from tests.cli.commands import CLUSTER, Queue, Worker
from tests.metrics.scrapes import exporter, fetch, where
from tests.observability.prometheus import Prometheus, prometheus
from tests.ollama import ollama_stand_in
from tests.polling import eventually
from tests.servers import Postgres, Valkey, make_valkey

MISSION = "brain:mission_tasks"
ORPHAN = "orphan"
PARKED = "parked"
OWN = "tests.observability.handlers:handlers"


@define
class Show:
    """What was seen.

    Attributes:
        prometheus: what has watched, still running.
        begin: when the load began, seconds since 1970.
        end: when all was over.
        calm: alerts that were firing before there was any trouble.
        fired: by the name of the alert that a trouble is to raise, what was firing then.
        before: likewise, what was firing right before that trouble.
        texts: what the workers and the exporter have shown.
    """

    prometheus: Prometheus
    begin: float
    end: float = 0.0
    calm: set[str] = field(factory=set)
    fired: dict[str, set[str]] = field(factory=dict)
    before: dict[str, set[str]] = field(factory=dict)
    texts: list[str] = field(factory=list)

    @contextmanager
    def raising(self, alert: str) -> Iterator[None]:
        """Make a trouble in the block, and see that it raises an alert."""
        self.before[alert] = self.prometheus.alerts()
        yield
        what = f"{alert} fires"
        eventually(lambda: alert in self.prometheus.alerts(), timeout=60, every=0.2, what=what)
        self.fired[alert] = self.prometheus.alerts()


@contextmanager
def ollama() -> Iterator[str]:
    """Run a stand-in for Ollama on a thread with a loop of its own, and give its URL."""
    told: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with ollama_stand_in() as server:
            told.set_result((server.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    url, loop, stop = told.result(30)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def push(queue: Queue, task_type: str, payload: dict[str, Any], age: float = 0.0) -> None:
    """Push a task; one that was created some seconds ago, to the head."""
    created = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    task = {"id": str(uuid.uuid4()), "type": task_type, "payload": payload, "created_at": created}
    (queue.client.lpush if age else queue.client.rpush)(queue.name, json.dumps(task))


@contextmanager
def load(url: str) -> Iterator[None]:
    """Push quick and slow tasks, and work for BRAiN's handlers, all the time."""
    over = threading.Event()

    def run() -> None:
        with Queue(url) as own, Queue(url, MISSION) as missions, Queue(url, "brain") as brain:
            while not over.wait(0.2):
                for _ in range(5):
                    push(own, "quick", {"a": 1})
                push(own, "slow", {"seconds": 0.2})
                push(brain, "health_check", {"cluster_id": "demo"})
                push(missions, "agent.chat", {"message": "Who are you?"})

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def place(url: str) -> str:
    """Return host and port, as Prometheus names a target."""
    return urlsplit(url).netloc


@pytest.fixture(scope="session")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    """Run the show, and leave its Prometheus running for questions."""
    directory = tmp_path_factory.mktemp("show")
    with ExitStack() as stack:
        server = stack.enter_context(make_valkey())
        postgres = Postgres()
        stack.callback(postgres.close)
        postgres.start()
        asyncio.run(_make_tables(postgres.url))
        shared = {"REDIS_URL": server.url, "OLLAMA_HOST": stack.enter_context(ollama())}
        shared |= {"DATABASE_URL": postgres.url}
        watched = ("--metrics-port", "0")

        def worker(*arguments: str) -> Worker:
            return stack.enter_context(Worker(directory, *watched, *arguments, **shared))

        own = worker("--handlers", OWN, "--concurrency", "4")
        other = worker("--handlers", OWN)
        brain = worker("--handlers", "brain", "--queues", f"brain,{MISSION}")
        named = ("--queues", f"{ORPHAN},{PARKED},brain")
        queues = stack.enter_context(exporter(directory, *named, REDIS_URL=server.url))
        places = [where(one) for one in (own, other, brain)]
        jobs = {"brain-worker": [place(url) for url in places], "brain-exporter": [place(queues)]}
        watch = stack.enter_context(prometheus(directory, jobs))
        show = Show(watch, time.time())
        with load(server.url):
            _calm(show, server)
            show.texts = [fetch(url) for url in (*places, queues)]
            _trouble(show, server, other)
            show.end = time.time()
        with show.raising("BrainServerUnreachable"):
            server.pause()
        server.resume()
        yield show


async def _make_tables(url: str) -> None:
    engine = database.engine(url, concurrency=1)
    try:
        await schema.create_in_empty(engine)
    finally:
        await engine.dispose()


def _calm(show: Show, server: Valkey) -> None:
    """Let Prometheus watch a healthy pool for longer than any alert waits."""
    with Queue(server.url, PARKED) as queue:
        queue.client.set(f"{{{PARKED}}}:paused", "1")
    up = {"brain-worker": ["up"] * 3, "brain-exporter": ["up"]}
    eventually(lambda: show.prometheus.healthy() == up, what="all targets are scraped")
    # Before its first scrape the exporter wasn't there, for all that Prometheus knew.
    eventually(lambda: not show.prometheus.alerts(), what="nothing fires any more")
    calm = time.time()

    def watched() -> bool:
        show.calm |= show.prometheus.alerts()
        return time.time() - calm > 15

    eventually(watched, every=0.5)


def _trouble(show: Show, server: Valkey, victim: Worker) -> None:
    """Make each trouble but the last, in which the server doesn't answer."""
    with Queue(server.url) as queue, Queue(server.url, ORPHAN) as orphan:
        with show.raising("BrainDeadLettersGrow"):
            push(queue, "nobody-knows-this", {})
            push(queue, "fail", {})
        with show.raising("BrainNoWorker"):
            push(orphan, "quick", {})
        with show.raising("BrainBacklogOld"):
            push(orphan, "quick", {}, age=120)
        with show.raising("BrainLeaseMarginLow"):
            victim.signal(signal.SIGSTOP)
            eventually(lambda: _now(queue) - _renewed(queue) > 2.8, every=0.05)
            victim.signal(signal.SIGCONT)
        with show.raising("BrainLoopStalled"):
            push(queue, "stall", {"seconds": 8})


def _now(queue: Queue) -> float:
    """Return the server's time, in seconds."""
    seconds, micro = queue.client.time()
    return float(seconds + micro / 1e6)


def _renewed(queue: Queue) -> float:
    """Return when the lease was renewed that has waited for that for longest."""
    ranked = queue.client.zrange(f"{{{CLUSTER}}}:holders", 0, -1, withscores=True)
    return float(min(score for _, score in ranked)) / 1000
