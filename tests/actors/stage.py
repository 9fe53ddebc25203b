"""A stage for whole workers: an in-memory broker, handlers, and what is seen of them."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from attrs import Factory, define, field

from actors import Backoff, Handlers, Identity, Statistics, Worker, WorkerSettings
from runtime.memory import MemberKilledError, MemoryBroker
from tests.actors.faults import FaultyBroker

Q = "brain:test_tasks"
CREATED = "2024-02-17T10:30:00Z"


def body(task_id: str, task_type: str = "nap", **more: Any) -> bytes:
    """Return a task's body, as a producer in any language writes it."""
    fields = {"id": task_id, "type": task_type, "payload": {}, "created_at": CREATED}
    return json.dumps(fields | more).encode()


async def until(predicate: Callable[[], object], what: str = "it came true") -> None:
    """Let the others go on until something is true; 30 seconds at most, virtual ones on trio."""
    for _ in range(6_000):
        if predicate():
            return
        await anyio.sleep(0.005)
    raise AssertionError(f"never: {what}")


@define(eq=False)
class Stage:
    """What a test plays with.

    Attributes:
        memory: the server.
        broker: the same behind a network that can fail.
        handlers: what the workers can run; `nap` is there: it sleeps for its payload's `seconds`.
        started: the ids of tasks in the order in which handlers began.
        finished: the ids of tasks whose handler returned.
        running: handlers that run now.
        most: how many ran at once at most.
    """

    memory: MemoryBroker = field(factory=MemoryBroker)
    broker: FaultyBroker = Factory(lambda self: FaultyBroker(self.memory), takes_self=True)
    handlers: Handlers = field(factory=lambda: Handlers(queue=Q, retry=Backoff(attempts=1)))
    started: list[str] = field(factory=list)
    finished: list[str] = field(factory=list)
    running: int = 0
    most: int = 0

    def __attrs_post_init__(self) -> None:
        @self.handlers.on("nap")
        async def nap(payload: dict[str, Any], context: Any) -> dict[str, Any]:
            self.started.append(context.task_id)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await anyio.sleep(payload.get("seconds", 0))
            finally:
                self.running -= 1
            self.finished.append(context.task_id)
            return {"by": context.worker_id}

    async def push(self, task_type: str = "nap", queue: str = Q, **payload: Any) -> str:
        """Push a task and return its id."""
        return await self.memory.push(queue, task_type, payload)

    async def push_naps(self, names: Iterable[str], seconds: float = 0, queue: str = Q) -> None:
        """Push tasks with these ids that sleep."""
        for name in names:
            await self.memory.push(queue, "nap", {"seconds": seconds}, name)

    async def warm_up(self) -> None:
        """Show the workers a fast pace, so that they fetch ahead, and forget that it was."""
        names = [f"warm{number}" for number in range(20)]
        await self.push_naps(names, 0.001)
        await until(lambda: set(names) <= set(self.answered()), "all is warm")
        for seen in (self.started, self.finished, self.memory.store.published):
            seen.clear()

    async def answer(self, task_id: str) -> dict[str, Any]:
        """Wait for an answer, not for ever."""
        with anyio.fail_after(60):
            return await self.memory.answer(task_id)

    async def run(self, task_type: str, **payload: Any) -> dict[str, Any]:
        """Push a task and wait for its answer."""
        return await self.answer(await self.push(task_type, **payload))

    def queued(self, queue: str = Q) -> list[str]:
        """Return the ids of the tasks in a queue, the head first."""
        return [json.loads(raw)["id"] for raw in self.memory.store.queue(queue).waiting]

    def inflight(self, queue: str = Q) -> list[str]:
        """Return the ids of all held tasks."""
        lists = self.memory.store.queue(queue).inflight.values()
        return [json.loads(raw)["id"] for listed in lists for raw in listed]

    @staticmethod
    def load(worker: Worker) -> tuple[int, int]:
        """Return how many tasks a worker runs, and how many it holds and hasn't begun."""
        statistics = worker.statistics()
        return len(statistics.running), statistics.buffered

    @staticmethod
    def field(raw: bytes, name: str) -> Any:
        """Return a field of a body, or None."""
        return json.loads(raw).get(name)

    def dead(self, queue: str = Q) -> list[tuple[str | None, str]]:
        """Return ids and reasons of the dead letters."""
        return [(one.task_id, one.reason.value) for one in self.memory.dead_letters(queue)]

    def answered(self) -> list[str]:
        """Return the ids of the published answers, in their order."""
        published = self.memory.store.published
        return [
            json.loads(message)["task_id"]
            for channel, message in published
            if channel == "brain:task_results"
        ]

    def worker(
        self, queues: Iterable[str] | None = None, concurrency: int = 2, **options: Any
    ) -> Worker:
        """Make a worker; `settings` may be a dict of its figures."""
        settings = WorkerSettings(**options.pop("settings", {}))
        return Worker(
            self.broker,
            self.handlers,
            queues,
            concurrency=concurrency,
            settings=settings,
            **{"identity": Identity(host="here", pid=1)} | options,
        )

    @asynccontextmanager
    async def working(self, *args: Any, **options: Any) -> AsyncIterator[Worker]:
        """Run a worker during the block, and stop it with its full grace at the end."""
        worker = self.worker(*args, **options)
        async with anyio.create_task_group() as host:
            await host.start(worker.run)
            yield worker
            await worker.stop()

    async def mortal(self, worker: Worker, **_: Any) -> None:
        """Run a worker that may be killed."""
        try:
            await worker.run()
        except* MemberKilledError:
            pass

    def kill(self, worker: Worker) -> None:
        """Kill a worker as SIGKILL does."""
        (holder,) = (h for h in self.memory.members() if h.startswith(f"{worker.worker_id}#"))
        self.memory.kill(holder)


def busy(statistics: Statistics) -> list[str]:
    """Return the ids of the tasks that a worker runs."""
    return [task.task_id for task in statistics.running]
