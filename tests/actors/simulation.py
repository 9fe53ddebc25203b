"""Many workers on one in-memory broker, on trio's deterministic scheduler, with faults by plan.

A plan decides everything: the same plan gives the same run, event by event.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, TypeVar

import anyio
import trio
from attrs import define, field, frozen
from trio._core import _run  # the scheduler's dice and the switch that makes it deterministic
from trio.testing import MockClock

from actors import Backoff, Context, Handlers, Surroundings, Timing, Worker, WorkerSettings
from runtime.memory import MemberKilledError, MemoryBroker
from tests.actors.faults import FaultyBroker, Network

T = TypeVar("T")

QUEUES: Final = ("a", "b")
CHAOS: Final = 20.0
"""Seconds for which things go wrong."""

PATIENCE: Final = 300.0
"""Seconds after which all has to be answered."""

LONG: Final = 0.5
"""Seconds from which on a task works in steps and saves after each."""

STEPS: Final = 4
"""How many."""

DAWN: Final = datetime(2024, 2, 17, tzinfo=UTC)


@frozen
class Fault:
    """Something that goes wrong.

    Attributes:
        at: when, in seconds.
        kind: `kill`, `ambush` (killed in the middle of a call), `freeze`, `stop`; or `cancel` a
            task, `pause` a queue for a while.
        place: which worker, task or queue, as a number that is taken modulo those that there are.
        value: for how many seconds it is frozen or how many it has to stop; which call it dies in.
    """

    at: float
    kind: str
    place: int
    value: float


@frozen
class Plan:
    """All that a run is decided by.

    Attributes:
        seed: of the scheduler, the network and the tokens.
        workers: how many there are at any time: who dies or stops is replaced.
        slots: of each.
        tasks: seconds that each task takes; a negative one fails after that time.
        lost: share of replies that are lost.
        failed: share of calls that don't arrive.
        strict: whether queues are served in strict order.
        faults: what goes wrong.
    """

    seed: int
    workers: int
    slots: int
    tasks: tuple[float, ...]
    lost: float
    failed: float
    strict: bool
    faults: tuple[Fault, ...]


@frozen
class Run:
    """A handler's run.

    Attributes:
        worker_id: whose.
        at: when it began.
    """

    worker_id: str
    at: float


@define(eq=False)
class ChaoticNetwork(Network):
    """Delays, loses and fails calls by dice, and springs an ambush in the call that was chosen.

    Attributes:
        dice: decides.
        plan: the shares.
        quiet: whether the chaos is over.
        ambush: the number of half-calls left until the worker is killed, or none.
        kill: kills it.
    """

    dice: random.Random = field(factory=random.Random)
    plan: Plan | None = None
    quiet: bool = False
    ambush: int | None = None
    kill: Any = None

    async def there(self, name: str) -> None:
        await self._travel()
        strikes = name != "join" and self._strikes(self.plan.failed if self.plan else 0)
        self.fails = lambda _: strikes
        await super().there(name)

    async def back(self, name: str, reply: T) -> T:
        await self._travel()
        lost = self._strikes(self.plan.lost if self.plan else 0)
        self.loses = lambda _: lost
        return await super().back(name, reply)

    def _strikes(self, share: float) -> bool:
        return not self.quiet and self.dice.random() < share

    async def _travel(self) -> None:
        await anyio.sleep(self.dice.choice((0, 0, 0.001, 0.02)))
        if self.ambush is not None:
            self.ambush -= 1
            if self.ambush < 0:
                self.ambush = None
                if self.kill():
                    await anyio.sleep_forever()


@define(eq=False)
class Simulation:
    """One run of a plan, and what was seen of it.

    Attributes:
        plan: what decides it.
        ticks: whether a task recurs each second, too.
        events: all that happened, in order, to be compared.
        runs: task id → its runs.
        stops: worker id → when it was asked to stop.
        killed: ids of killed workers.
        cancelled: task id → when it was cancelled, of those whose answer that is.
        living: workers that run.
        crashes: what came out of workers that nobody killed.
        steps: task id → the newest step that was saved for it, by a server's reply.
        forgotten: task ids and steps of runs that began before what was saved.
        over: whether those who end aren't replaced any more.
    """

    plan: Plan
    ticks: bool = False
    broker: MemoryBroker = field(init=False)
    faulty: FaultyBroker = field(init=False)
    surroundings: Surroundings = field(init=False)
    handlers: Handlers = field(factory=Handlers)
    events: list[tuple[float, str, str]] = field(factory=list)
    runs: defaultdict[str, list[Run]] = field(factory=lambda: defaultdict(list))
    stops: dict[str, float] = field(factory=dict)
    killed: set[str] = field(factory=set)
    cancelled: dict[str, float] = field(factory=dict)
    living: dict[str, Worker] = field(factory=dict)
    crashes: list[BaseException] = field(factory=list)
    steps: Counter[str] = field(factory=Counter)
    forgotten: list[tuple[str, int]] = field(factory=list)
    over: bool = False
    _dice: random.Random = field(init=False)
    _numbers: Counter[str] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self._dice = random.Random(self.plan.seed)
        self.surroundings = Surroundings(
            self.now, lambda: f"{self._dice.getrandbits(48):012x}", self._dice.random
        )
        self.broker = MemoryBroker(self.surroundings)
        self.faulty = FaultyBroker(self.broker)
        self.handlers.on("work", timeout=60, retry=Backoff(attempts=2))(self.work)
        if self.ticks:
            self.handlers.every("1s", "work", {"seconds": 0, "text": ""}, name="tick", queue="a")

    @staticmethod
    def now() -> datetime:
        return DAWN + timedelta(seconds=anyio.current_time())

    def note(self, what: str, who: str) -> None:
        self.events.append((anyio.current_time(), what, who))

    async def work(self, payload: dict[str, Any], context: Context) -> str:
        self.runs[context.task_id].append(Run(context.worker_id, anyio.current_time()))
        self.note("begin", f"{context.task_id} {context.worker_id}")
        if payload["seconds"] >= LONG:
            await self.go_on(payload["seconds"], context)
        else:
            await anyio.sleep(abs(payload["seconds"]))
        self.note("end", f"{context.task_id} {context.worker_id}")
        if payload["seconds"] < 0:
            raise ValueError(payload["text"])
        return str(payload["text"])

    async def go_on(self, seconds: float, context: Context) -> None:
        """Work in steps, saving after each, from where an earlier run has stood."""
        step = context.saved or 0
        if step < self.steps[context.task_id]:
            self.forgotten.append((context.task_id, step))
        while step < STEPS:
            context.progress(step, STEPS)
            await anyio.sleep(seconds / STEPS)
            step += 1
            await context.save(step)
            self.steps[context.task_id] = max(step, self.steps[context.task_id])

    async def main(self) -> None:
        """Run the plan to its end: all answered, or out of patience; then stop all workers."""
        async with anyio.create_task_group() as world:
            for _ in range(self.plan.workers):
                self.start_worker(world)
            world.start_soon(self.produce)
            for fault in sorted(self.plan.faults, key=lambda fault: fault.at):
                await anyio.sleep_until(fault.at)
                self.strike(world, fault)
            await anyio.sleep_until(CHAOS)
            for network in self.faulty.networks.values():
                network.thaw()
                network.quiet = True  # type: ignore[attr-defined]
                network.ambush = None  # type: ignore[attr-defined]
            with anyio.move_on_after(PATIENCE):
                for number in range(len(self.plan.tasks)):
                    await self.broker.answer(f"t{number:03}")
            # By then the leases of the last dead have been found, too.
            await anyio.sleep(10)
            self.over = True
            for worker_id, worker in list(self.living.items()):
                self.stops.setdefault(worker_id, anyio.current_time())
                worker.request_stop()

    def start_worker(self, world: anyio.abc.TaskGroup) -> None:
        self._numbers["worker"] += 1
        worker_id = f"w{self._numbers['worker']}"
        network = ChaoticNetwork(dice=random.Random(self._dice.random()), plan=self.plan)
        network.kill = lambda: self.kill(worker_id)
        self.faulty.networks[worker_id] = network
        worker = Worker(
            self.faulty,
            self.handlers,
            QUEUES,
            concurrency=self.plan.slots,
            worker_id=worker_id,
            settings=WorkerSettings(
                strict_order=self.plan.strict, log_tasks=False, horizon=0.2, patience=0.3
            ),
            timing=Timing(),
            surroundings=self.surroundings,
        )
        self.living[worker_id] = worker
        world.start_soon(self.live, world, worker)

    async def live(self, world: anyio.abc.TaskGroup, worker: Worker) -> None:
        """Run a worker to its end, and replace it."""
        self.note("join", worker.worker_id)
        try:
            await worker.run()
        except* MemberKilledError:
            pass
        except* Exception as group:  # noqa: BLE001 - the checks show all of them
            self.crashes.extend(group.exceptions)
        self.note("gone", worker.worker_id)
        self.living.pop(worker.worker_id, None)
        if not self.over:
            self.start_worker(world)

    async def produce(self) -> None:
        """Push the tasks over the time of the chaos."""
        for number, seconds in enumerate(self.plan.tasks):
            await anyio.sleep(self._dice.choice((0, 0, 0, 0.05, 0.2)))
            payload = {"seconds": seconds, "text": f"naïve {number}"}
            await self.broker.push(QUEUES[number % 2], "work", payload, f"t{number:03}")

    def strike(self, world: anyio.abc.TaskGroup, fault: Fault) -> None:
        if fault.kind == "cancel":
            world.start_soon(self.cancel, f"t{fault.place * 7 % len(self.plan.tasks):03}")
            return
        if fault.kind == "pause":
            world.start_soon(self.pause, QUEUES[fault.place % 2], fault.value)
            return
        if not self.living:
            return
        worker_id = list(self.living)[fault.place % len(self.living)]
        network = self.faulty.networks[worker_id]
        self.note(fault.kind, worker_id)
        match fault.kind:
            case "kill":
                self.kill(worker_id)
            case "ambush":
                network.ambush = int(fault.value * 4)  # type: ignore[attr-defined]
            case "freeze":
                network.freeze()
                world.start_soon(self.thaw, network, fault.value)
            case "stop":
                self.stops.setdefault(worker_id, anyio.current_time())
                self.living[worker_id].request_stop(fault.value)

    async def cancel(self, task_id: str) -> None:
        """Cancel a task, wherever it is, even before it is pushed."""
        at = anyio.current_time()
        self.note("cancel", task_id)
        if await self.broker.cancel(task_id):
            self.cancelled.setdefault(task_id, at)

    async def pause(self, queue: str, seconds: float) -> None:
        self.note("pause", queue)
        await self.broker.pause(queue)
        await anyio.sleep(seconds)
        await self.broker.resume(queue)

    async def thaw(self, network: Network, after: float) -> None:
        await anyio.sleep(after)
        network.thaw()

    def kill(self, worker_id: str) -> bool:
        """Kill a worker; return whether it had joined."""
        for holder in self.broker.members():
            if holder.startswith(f"{worker_id}#"):
                self.killed.add(worker_id)
                self.note("killed", worker_id)
                self.broker.kill(holder)
                return True
        return False

    def answers(self) -> Counter[str]:
        """Count the published answers by task."""
        return Counter(channel for channel, _ in self.published())

    def published(self) -> list[tuple[str, bytes]]:
        """Return task ids and answers, as those who wait for one task hear of them."""
        return [
            (channel.split(":")[2], message)
            for channel, message in self.broker.store.published
            if channel.startswith("brain:task:")
        ]

    def doubtful(self, worker_id: str) -> bool:
        """Say whether others may have taken a worker's tasks: killed, stopped or long away."""
        renewals = self.faulty.networks[worker_id].renewals
        away = max(
            (later - earlier for earlier, later in pairwise(renewals)),
            default=0.0,
        )
        return worker_id in self.killed or worker_id in self.stops or away >= 3


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Let trio's scheduler be decided by a seed."""
    before = _run._ALLOW_DETERMINISTIC_SCHEDULING
    state = _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = before
        _run._r.setstate(state)


def simulate(plan: Plan, *, ticks: bool = False) -> Simulation:
    """Run a plan on virtual time; with `ticks` a task recurs each second."""
    simulation = Simulation(plan, ticks)
    with deterministic(plan.seed):
        trio.run(simulation.main, clock=MockClock(autojump_threshold=0))
    return simulation
