"""The state machine that drives both sides: workers that take, settle, die and are recovered."""

from collections.abc import Iterable, Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from actors import Settlement
from actors.recovery import plan_recovery
from messages import rewrite_task
from tests.brokers import model
from tests.brokers.model import Batch, Ledger, Life, Worker
from tests.brokers.pair import Pair
from tests.brokers.sides import MemorySide, Names, RealSide
from tests.servers import Valkey

QUEUES: Final = ("q", "p")
_MOST_WORKERS: Final = 6

_BETWEEN_RESTS: Final = 40

queues = st.sampled_from(("q", "q", "q", "p"))
number = st.integers(0, 9)
picks = st.lists(st.integers(0, 20), max_size=5)
faults = st.one_of(st.just(0), st.just(0), st.integers(1, 12))
bodies = st.integers(0, len(model.BODIES) - 1)
ALIVE: Final = (Life.ALIVE,)


def anyone(*lives: Life) -> object:
    """Let a rule apply while there is a worker that lives such a life."""
    return precondition(lambda self: any(one.life in lives for one in self.workers))


class SideBySide(RuleBasedStateMachine):
    """Workers that take, settle, die and are recovered, on both sides at once."""

    server: Valkey
    tally: dict[str, int]

    def __init__(self) -> None:
        super().__init__()
        self.names = Names(QUEUES, model.TASK_IDS, worker_ids=["w0", "w1"])
        self.real = RealSide(self.server, self.names)
        self.pair = Pair(self.real, MemorySide(self.names), Ledger())
        self.workers: list[Worker] = []
        self.surroundings = model.surroundings()
        self.marks = 0
        self.steps = 0

    def teardown(self) -> None:
        self.tally["faults"] += self.pair.faults
        self.real.close()

    @invariant()
    def agree(self) -> None:
        """Both sides keep the same, and I1 to I8 hold."""
        self.pair.check()
        self.steps += 1
        self.tally["steps"] += 1

    # What the rules are made of.

    def one(self, number: int, lives: Iterable[Life] = Life) -> Worker:
        some = [worker for worker in self.workers if worker.life in lives]
        return some[number % len(some)]

    def adopt(self, worker: Worker, queue: str) -> None:
        """Let a worker read what it holds, as it does after a lost reply or a lapse."""
        worker.known[queue] = self.pair.both("held", queue, worker.holder)

    def renewed(self, worker: Worker, fault: int = 0) -> None:
        worker.pulse += 1
        for queue in QUEUES:
            words = (queue, worker.holder, worker.pulse, worker.slots)
            if not self.pair.twice(fault, "renew", *words):
                self.adopt(worker, queue)

    def some_of(self, worker: Worker, queue: str, numbers: Sequence[int]) -> list[bytes]:
        """Return a part of what a worker believes to hold, in its order."""
        known = worker.known[queue]
        return (
            [known[place] for place in sorted({n % len(known) for n in numbers})] if known else []
        )

    def saved_numbers(self, queue: str) -> dict[str, int]:
        """Read which tasks have saved how often."""
        numbers: dict[str, int] = self.pair.both("saved_numbers", queue, model.TASK_IDS)
        return numbers

    def with_saves(self, queue: str, raws: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return bodies that tell of states which the ones in hand don't know."""
        numbers = self.saved_numbers(queue)
        bodies: dict[bytes, bytes] = {}
        for raw in raws:
            known = numbers.get(model.readable_id(raw) or "", 0)
            if raw not in model.UNDECODABLE and known > model.saves(raw):
                self.marks += 1
                bodies[raw] = rewrite_task(raw, nonce=f"r{self.marks}", saved=known, deaths=0)
        return bodies

    def settled(  # noqa: PLR0917 - of one rule, and of the last one
        self,
        worker: Worker,
        queue: str,
        raws: Sequence[bytes],
        rejects: int,
        fault: int,
        delays: int = 0,
    ) -> None:
        self.marks += 1
        mark = f"{worker.holder} {self.marks}"
        batch = [
            model.ending(
                raw,
                f"{mark} {place}",
                reject=bool(rejects >> place & 1),
                delay=1000 * self.marks - place if delays >> place & 1 else None,
            )
            for place, raw in enumerate(raws)
        ]
        words = (queue, worker.holder, worker.number + 1, batch)
        worker.number, _ = self.pair.settle(*words, fault)
        if not fault:
            worker.batches.append(Batch(queue, worker.number, batch))
        for raw in raws:
            if raw in worker.known[queue]:
                worker.known[queue].remove(raw)

    # The rules.

    @initialize()
    def begin(self) -> None:
        self.join(slots=2, fault=0)
        self.join(slots=1, fault=0)

    @rule(queue=queues, numbers=st.lists(bodies, min_size=1, max_size=6))
    def push(self, queue: str, numbers: list[int]) -> None:
        for body in numbers:
            self.pair.push(queue, model.BODIES[body])

    @rule(task_id=st.sampled_from(model.TASK_IDS), fault=faults)
    def cancel(self, task_id: str, fault: int) -> None:
        self.marks += 1
        self.pair.cancel(task_id, f"somebody {self.marks}", fault)

    @rule(queue=queues, on=st.booleans())
    def pause(self, queue: str, *, on: bool) -> None:
        self.pair.both("pause", queue, on)
        assert self.pair.both("orders", QUEUES, model.TASK_IDS).paused.isdisjoint({queue}) is not on

    @anyone(Life.ALIVE)
    @rule(number=number, queue=queues, fault=faults)
    def drop(self, number: int, queue: str, fault: int) -> None:
        """Let a worker drop those of its tasks that were cancelled."""
        worker = self.one(number, ALIVE)
        cancelled = self.pair.both("orders", (), model.TASK_IDS).cancelled
        found = {}
        for raw in worker.known[queue]:
            if model.readable_id(raw) in cancelled:
                found.setdefault(model.readable_id(raw), raw)
        batch = [Settlement(raw, task_id, None) for task_id, raw in found.items()]
        words = (queue, worker.holder, worker.number + 1, batch)
        worker.number, _ = self.pair.settle(*words, fault)
        for raw in found.values():
            worker.known[queue].remove(raw)

    @precondition(lambda self: len(self.workers) < _MOST_WORKERS)
    @rule(slots=st.integers(1, 3), fault=faults)
    def join(self, slots: int, fault: int) -> None:
        place = len(self.workers)
        worker = Worker(f"w{place % 2}#{place}", slots, known={queue: [] for queue in QUEUES})
        self.names.holders.append(worker.holder)
        self.workers.append(worker)
        self.renewed(worker, fault)

    @anyone(Life.ALIVE)
    @rule(number=number, fault=faults)
    def renew(self, number: int, fault: int) -> None:
        self.renewed(self.one(number, ALIVE), fault)

    @anyone(Life.ALIVE)
    @rule(number=number, queue=queues, limit=st.integers(0, 5), fault=faults, lost=st.booleans())
    def take(self, number: int, queue: str, limit: int, fault: int, *, lost: bool) -> None:
        worker = self.one(number, ALIVE)
        taken = self.pair.take(queue, worker.holder, limit, fault)
        if lost:
            self.tally["lost"] += 1
            self.adopt(worker, queue)
        elif isinstance(taken, list):
            worker.known[queue] += taken

    @anyone(Life.ALIVE, Life.DEAD)
    @rule(number=number, queue=queues, lost=st.booleans())
    def wait(self, number: int, queue: str, *, lost: bool) -> None:
        """Let a BLMOVE take a task, whatever has become of whom it was for."""
        worker = self.one(number, (Life.ALIVE, Life.DEAD))
        # A wait ends long before its holder is forgotten.
        if self.pair.waiting(queue) and worker.holder in self.pair.memory.holders(queue):
            raw = self.pair.both("move", queue, worker.holder)
            if not lost:
                worker.known[queue].append(raw)

    @anyone(Life.ALIVE)
    @rule(
        number=number,
        queue=queues,
        numbers=picks,
        strangers=st.lists(bodies, max_size=1),
        rejects=st.integers(0, 63),
        delays=st.integers(0, 63),
        fault=faults,
    )
    def settle(
        self,
        number: int,
        queue: str,
        numbers: list[int],
        *,
        strangers: list[int],
        rejects: int,
        delays: int,
        fault: int,
    ) -> None:
        worker = self.one(number, ALIVE)
        raws = self.some_of(worker, queue, numbers)
        raws += [model.BODIES[body] for body in strangers]
        self.settled(worker, queue, raws, rejects, fault, delays)

    @anyone(Life.ALIVE)
    @rule(number=number, queue=queues, limit=st.integers(1, 3), fault=faults)
    def promote(self, number: int, queue: str, limit: int, fault: int) -> None:
        self.pair.promote(queue, self.one(number, ALIVE).holder, limit, fault)

    @anyone(Life.ALIVE)
    @rule(
        queue=queues,
        name=st.sampled_from(("r", "s")),
        dues=st.lists(bodies, max_size=3),
        how=st.sampled_from(("looked", "looked", "late", "lost", "new")),
        fault=faults,
    )
    def fire(self, queue: str, name: str, dues: list[int], how: str, fault: int) -> None:
        """Fire a recurring task, whatever has happened since whoever fires it has looked."""
        looked = self.pair.twice(fault, "recurring", queue, ["r", name])[name]
        upto = (looked or 0) + 1_000
        raws = [model.BODIES[body] for body in dues]
        if how == "late":
            self.pair.fire(queue, name, looked, upto + 1, raws)
        words = (queue, name, None if how == "new" else looked, upto, raws)
        done = self.pair.fire(*words, fault)
        if how == "lost" and done:
            assert not self.pair.fire(*words), "fired again after a lost reply"
            self.tally["lost"] += 1

    @precondition(lambda self: any(worker.batches for worker in self.workers))
    @rule(number=number, back=st.integers(1, 10))
    def settle_again(self, number: int, back: int) -> None:
        """Let a batch come again: its reply was lost, or it was under way for long."""
        some = [worker for worker in self.workers if worker.batches]
        worker = some[number % len(some)]
        late = worker.batches[-min(back, len(worker.batches))]
        before = self.real.snapshot()
        words = (late.queue, worker.holder, late.number, late.settlements)
        self.pair.both("settle", *words)
        assert self.real.snapshot() == before, "I2: a batch that comes again changes nothing"
        self.tally["lost"] += 1

    @anyone(Life.ALIVE)
    @rule(
        number=number,
        queue=queues,
        pick=number,
        stranger=st.one_of(st.none(), st.none(), st.none(), bodies),
        fault=faults,
        lost=st.booleans(),
    )
    def save(
        self, number: int, queue: str, pick: int, *, stranger: int | None, fault: int, lost: bool
    ) -> None:
        """Save a state for what a worker believes to hold, or for what it never held."""
        worker = self.one(number, ALIVE)
        known = worker.known[queue]
        if not known:
            self.pair.push(queue, model.BODIES[pick])
            taken = self.pair.take(queue, worker.holder, 2, 0)
            known += taken if isinstance(taken, list) else []
        raw = known[pick % len(known)] if known else model.BODIES[pick]
        raw = raw if stranger is None else model.BODIES[stranger]
        if raw in model.UNDECODABLE:
            return
        self.marks += 1
        state = f'{{"by": "{worker.holder}", "mark": {self.marks}}}'.encode()
        saved, held = self.pair.save(queue, worker.holder, raw, state, fault)
        if lost and held:
            # Its reply was lost, so it is sent again.
            self.tally["lost"] += 1
            assert self.pair.save(queue, worker.holder, raw, state) == (saved, True)
        if held:
            self.tally["saves"] += 1
            assert self.pair.both("saved", queue, model.readable_id(raw)) == (saved, state)

    @anyone(Life.ALIVE)
    @rule(
        number=number,
        queue=queues,
        numbers=picks,
        noted=st.booleans(),
        fault=faults,
        lost=st.booleans(),
    )
    def release(
        self, number: int, queue: str, numbers: list[int], *, noted: bool, fault: int, lost: bool
    ) -> None:
        """Give tasks back, those that have saved something in a body that tells of it."""
        worker = self.one(number, ALIVE)
        raws = self.some_of(worker, queue, numbers)
        bodies = self.with_saves(queue, raws) if noted else {}
        self.pair.release(queue, worker.holder, raws, fault, bodies)
        for raw in raws:
            worker.known[queue].remove(raw)
        if lost:
            self.tally["lost"] += 1
            self.adopt(worker, queue)

    @anyone(Life.ALIVE)
    @rule(number=number)
    def crash(self, number: int) -> None:
        self.one(number, ALIVE).life = Life.DEAD

    @rule(
        number=number,
        queue=queues,
        how=st.sampled_from(("whole", "whole", "in two", "raced", "renewed", "grown")),
        fault=faults,
    )
    def reclaim(self, number: int, queue: str, how: str, fault: int) -> None:
        """Recover a holder's tasks: a dead one's, or a suspended one's that comes back later."""
        worker = self.one(number)
        seen = self.pair.both("look", queue)
        pulse = seen.leases.get(worker.holder)
        if pulse is None and not seen.unleased.get(worker.holder):
            return
        raws = self.pair.both("held", queue, worker.holder)
        slots = seen.slots.get(worker.holder, 0)
        numbers = self.saved_numbers(queue)
        plan = plan_recovery(raws, slots, "janitor", self.surroundings, numbers)
        model.check_deaths(plan, slots, numbers)
        words = (queue, worker.holder)
        if how == "renewed" and worker.life is Life.ALIVE:
            self.renewed(worker)
            assert self.pair.reclaim(*words, pulse, plan, fault) == 0, "I5"
        elif how == "grown" and self.pair.waiting(queue):
            self.pair.both("move", *words)
            self.pair.reclaim(*words, pulse, plan, fault)
        elif how == "in two" and len(plan) > 1:
            assert self.pair.reclaim(*words, pulse, plan[1:], fault) == len(plan) - 1
            assert self.pair.reclaim(*words, None, plan[:1]) == 1
        else:
            assert self.pair.reclaim(*words, pulse, plan, fault) == len(plan)
            if how == "raced" and plan:
                assert self.pair.reclaim(*words, pulse, plan) == 0, "I2: recovered twice"

    @rule(number=number, queue=queues, fault=faults)
    def forget(self, number: int, queue: str, fault: int) -> None:
        self.pair.twice(fault, "forget", queue, self.one(number).holder)

    @anyone(Life.ALIVE)
    @rule(number=number, fault=faults, drained=st.booleans())
    def leave(self, number: int, fault: int, *, drained: bool) -> None:
        worker = self.one(number, ALIVE)
        worker.life = Life.LEFT
        for queue in QUEUES:
            if drained:
                self.adopt(worker, queue)
                self.pair.release(queue, worker.holder, worker.known[queue], 0)
            gone = self.pair.twice(fault, "leave", queue, worker.holder)
            assert gone or not drained, "I6"

    @anyone(Life.ALIVE)
    @rule(number=number, fault=faults, ends=st.booleans())
    def beat(self, number: int, fault: int, *, ends: bool) -> None:
        worker = self.one(number, ALIVE)
        name = "stop_beating" if ends else "beat"
        words = (worker.holder.partition("#")[0], worker.holder.encode())
        self.pair.twice(fault, name, *words)

    @precondition(lambda self: self.steps > _BETWEEN_RESTS)
    @rule()
    def rest(self) -> None:
        """Whatever has happened, one worker can recover and answer every task."""
        self.steps = 0
        last = Worker("last#0", 1, known={queue: [] for queue in QUEUES})
        if last.holder not in self.names.holders:
            self.names.holders.append(last.holder)
        for queue in QUEUES:
            self.pair.both("renew", queue, last.holder, 1, 1)
            seen = self.pair.both("look", queue)
            for holder in seen.leases.keys() | seen.unleased.keys():
                raws = self.pair.both("held", queue, holder)
                slots = seen.slots.get(holder, 0)
                numbers = self.saved_numbers(queue)
                plan = plan_recovery(raws, slots, "janitor", self.surroundings, numbers)
                self.pair.reclaim(queue, holder, seen.leases.get(holder), plan)
            self.pair.both("renew", queue, last.holder, 1, 1)
            self.pair.both("pause", queue, False)
            self.pair.promote(queue, last.holder, 1000)
            taken = self.pair.take(queue, last.holder, 1000, 0)
            assert isinstance(taken, list)
            # Its numbers of earlier rests have gone with its leaving.
            self.settled(last, queue, taken, 0, 0)
            self.pair.both("leave", queue, last.holder)
        assert not self.pair.ledger.live, "I1: a task that can't be answered any more"
