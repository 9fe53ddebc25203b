"""Both sides and the ledger: each operation done on all three, with faults on the server's side."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import asdict

from actors import LeaseLapsedError, Recovery, RefusedError, Settled, Settlement
from tests.brokers import model
from tests.brokers.faults import MARK, injecting
from tests.brokers.model import Ledger, readable_id
from tests.brokers.sides import MemorySide, RealSide

Refusal = type[Exception]


class Pair:
    """Operations that both sides must answer alike.

    `fault` is the number of the call within the script that fails on the server, 0 for none. The
    protocol's own remedy follows, and then both sides must be alike again.
    """

    def __init__(self, real: RealSide, memory: MemorySide, ledger: Ledger) -> None:
        self.real = real
        self.memory = memory
        self.ledger = ledger
        self.faults = 0

    def check(self) -> None:
        """Check that both sides keep the same, and that all invariants hold."""
        seen, kept = self.real.snapshot(), self.memory.snapshot()
        for queue, view in seen.queues.items():
            assert asdict(view) == asdict(kept.queues[queue]), queue
        assert asdict(seen) == asdict(kept)
        self.ledger.check(seen)

    def both(self, name: str, *words: Any) -> Any:
        """Do the same on both sides and return the answer, in which they must agree."""
        real, memory = (outcome(getattr(one, name), *words) for one in (self.real, self.memory))
        assert real == memory, f"{name}{words}: {real} but {memory}"
        return real

    def twice(self, fault: int, name: str, *words: Any) -> Any:
        """Do it with a fault, and again after an error: for what may be repeated."""
        if fault and self._faulty(fault, name, *words) is not RefusedError:
            # It came to an end without meeting the fault.
            return outcome(getattr(self.memory, name), *words)
        return self.both(name, *words)

    def push(self, queue: str, raw: bytes) -> None:
        self.both("push", queue, raw)
        self.ledger.push(raw)

    def take(self, queue: str, holder: str, limit: int, fault: int) -> list[bytes] | Refusal:
        before = self.waiting(queue)
        if not fault:
            taken = self.both("take", queue, holder, limit)
            expected = before[: 0 if self.paused(queue) else limit]
        else:
            taken = self._faulty(fault, "take", queue, holder, limit)
            if taken is RefusedError:
                return taken
            if self.paused(queue):
                limit = 0
            # An error keeps what was moved before it: then fewer came.
            limit = len(taken) if isinstance(taken, list) else limit
            assert outcome(self.memory.take, queue, holder, limit) == taken
            expected = before[:limit]
        assert taken in (expected, LeaseLapsedError), "I3"
        return taken

    def settle(
        self, queue: str, holder: str, number: int, batch: Sequence[Settlement], fault: int = 0
    ) -> tuple[int, list[Settled]]:
        """Settle until nothing is refused; return the last number used and the statuses."""
        if not fault:
            statuses = self.both("settle", queue, holder, number, batch)
            self._note_ended(batch, statuses)
            return number, statuses
        statuses = self._faulty(fault, "settle", queue, holder, number, batch)
        if statuses is RefusedError:
            return self.settle(queue, holder, number, batch)
        pairs = list(zip(batch, statuses, strict=True))
        kept = [pair for pair in pairs if pair[1] is not Settled.FAILED]
        answer = self.memory.settle(queue, holder, number, [one for one, _ in kept])
        assert answer == [status for _, status in kept]
        self._note_ended(batch, statuses)
        self._forgive_unheard()
        self._forgive_left(queue)
        self.ledger.check(self.real.snapshot())
        # An empty batch too: the fault may have kept the number from being noted.
        refused = [one for one, status in pairs if status is Settled.FAILED]
        return self.settle(queue, holder, number + 1, refused)[0], statuses

    def cancel(self, task_id: str, mark: str, fault: int = 0) -> int | Refusal:
        """Cancel a task; an error has changed nothing, and it is done again."""
        words = (task_id, model.answer_of(task_id, mark))
        if fault:
            answer = self._faulty(fault, "cancel", *words)
            if answer is not RefusedError:
                assert self.memory.cancel(*words) == answer
                self._forgive_unheard()
                return answer
            self.ledger.check(self.real.snapshot())
        return self.both("cancel", *words)

    def promote(self, queue: str, holder: str, limit: int, fault: int = 0) -> None:
        """Move what is due; after an error the rest of it, up to all."""
        if not fault:
            leads, _ = self.both("promote", queue, holder, limit)
            assert leads
            return
        answer = self._faulty(fault, "promote", queue, holder, limit)
        self.ledger.check_places(self.real.snapshot())
        if answer is RefusedError:
            self.real.promote(queue, holder, 1000)
            limit = 1000
        self.memory.promote(queue, holder, limit)

    def fire(  # noqa: PLR0917 - the parts of a firing
        self,
        queue: str,
        name: str,
        fired: int | None,
        upto: int,
        bodies: Sequence[bytes],
        fault: int = 0,
    ) -> bool:
        """Fire a recurring task; after an error look how far it was fired, and fire it then."""
        before = self.waiting(queue)
        words = (queue, name, fired, upto, bodies)
        known = self.memory.recurring(queue, [name])[name]
        if not fault:
            done: bool = self.both("fire", *words)
        else:
            answer = self._faulty(fault, "fire", *words)
            if answer is RefusedError:
                assert self.real.recurring(queue, [name]) == {name: known}, "half a firing"
                assert self.waiting(queue) == before, "half a firing"
                answer = outcome(self.real.fire, *words)
            assert answer == outcome(self.memory.fire, *words)
            done = bool(answer)
        assert done == (known == fired), "a due time is fired once"
        assert self.waiting(queue) == before + list(bodies if done else ()), "I3"
        for raw in bodies if done else ():
            self.ledger.push(raw)
        return done

    def save(
        self, queue: str, holder: str, raw: bytes, state: bytes, fault: int = 0
    ) -> tuple[int, bool]:
        """Save a state, again after an error; return its number and whether the task was held."""
        held = raw in self.real.held(queue, holder)
        before = self.real.snapshot()
        number = self.twice(fault, "save", queue, holder, raw, readable_id(raw), state)
        assert bool(number) == held, "I2: who doesn't hold a task saves nothing for it"
        if not held:
            assert self.real.snapshot() == before, "I2"
        return number, held

    def release(
        self,
        queue: str,
        holder: str,
        raws: Sequence[bytes],
        fault: int,
        bodies: Mapping[bytes, bytes] = {},
    ) -> None:
        before, waiting = self.real.held(queue, holder), self.waiting(queue)
        given = _held_of(raws, before)
        if not fault:
            assert self.both("release", queue, holder, raws, bodies) == len(given)
            self._note_released(given, bodies)
        else:
            answer = self._faulty(fault, "release", queue, holder, raws, bodies)
            gone = Counter(before) - Counter(self.real.held(queue, holder))
            self._note_released(list(gone.elements()), bodies)
            self.ledger.check(self.real.snapshot())
            if answer is RefusedError:
                # Never sent again: what is still held tells what is still to be given back.
                rest = _without_last(given, gone)
                self.real.release(queue, holder, rest, bodies)
                self._note_released(rest, bodies)
            self.memory.release(queue, holder, raws, bodies)
        assert self.waiting(queue) == [bodies.get(raw, raw) for raw in given] + waiting, "I3"

    def reclaim(
        self,
        queue: str,
        holder: str,
        pulse: str | None,
        plan: Sequence[Recovery],
        fault: int = 0,
    ) -> int:
        before, waiting = self.real.held(queue, holder), self.waiting(queue)
        if not fault:
            count: int = self.both("reclaim", queue, holder, pulse, plan)
            self._note_recovered(plan, count)
        else:
            answer = self._faulty(fault, "reclaim", queue, holder, pulse, plan)
            count = len(before) - len(self.real.held(queue, holder))
            self._note_recovered(plan, count)
            self.ledger.check_places(self.real.snapshot())
            if answer is RefusedError:
                rest = plan[: len(plan) - count]
                more = self.real.reclaim(queue, holder, pulse, rest)
                self._note_recovered(rest, more)
                count += more
            assert self.memory.reclaim(queue, holder, pulse, plan) == count
            self._forgive_unheard()
            self._forgive_left(queue)
        back = [one.requeue for one in plan[len(plan) - count :] if one.requeue is not None]
        assert self.waiting(queue) == back + waiting, "I3"
        return count

    def paused(self, queue: str) -> bool:
        """Say whether nothing is to be taken from a queue."""
        return bool(self.memory.store.queue(queue).paused)

    def waiting(self, queue: str) -> list[bytes]:
        """Return the tasks of a queue, the head first."""
        return list(self.real.wire.call("LRANGE", queue, 0, -1))

    def faulty(self, name: str, fault: int, *words: Any) -> None:
        """Do on the server alone, with a fault, what is done again on both sides afterwards."""
        self._faulty(fault, name, *words)

    def _faulty(self, fault: int, name: str, *words: Any) -> Any:
        with injecting(fault):
            answer = outcome(getattr(self.real, name), *words)
        self.faults += self.real.wire.call("DEL", MARK)
        return answer

    def _note_released(self, raws: Sequence[bytes], bodies: Mapping[bytes, bytes]) -> None:
        for raw in raws:
            if raw in bodies:
                self.ledger.rewrite(raw, bodies[raw])

    def _note_ended(self, batch: Sequence[Settlement], statuses: Sequence[Settled]) -> None:
        for one, status in zip(batch, statuses, strict=True):
            if status is Settled.DONE and one.delay is not None:
                self.ledger.rewrite(one.raw, one.delay.body)
            elif status in {Settled.DONE, Settled.CANCELLED}:
                self.ledger.end(one.raw)

    def _note_recovered(self, plan: Sequence[Recovery], count: int) -> None:
        for one in plan[len(plan) - count :]:
            self.ledger.recover(one)

    def _forgive_left(self, queue: str) -> None:
        """Remove a state whose removal was made to fail: its task is answered all the same."""
        kept = self.memory.snapshot().queues[queue].saved
        left = self.real.snapshot().queues[queue].saved.keys() - kept.keys()
        assert len(left) <= 1, f"left: {left}"
        for task_id in left:
            self.real.drop_state(queue, task_id)

    def _forgive_unheard(self) -> None:
        """Take a message for heard whose PUBLISH was made to fail: its answer is stored."""
        real, memory = self.real.published(), self.memory.store.published
        if len(real) == len(memory) - 1:
            gaps = (place for place, one in enumerate(memory) if (*real, None)[place] != one)
            place = next(gaps)
            self.real.heard(place, *memory[place])


def outcome(call: Callable[..., Any], *words: Any) -> Any:
    """Return what a call returns, or the class of its refusal."""
    try:
        return call(*words)
    except LeaseLapsedError:
        return LeaseLapsedError
    except RefusedError:
        return RefusedError


def _held_of(raws: Sequence[bytes], held: Sequence[bytes]) -> list[bytes]:
    """Return those that are held, counting equal bodies from the last."""
    left = Counter(held)
    given = []
    for raw in reversed(raws):
        if left[raw]:
            left[raw] -= 1
            given.append(raw)
    return given[::-1]


def _without_last(raws: Sequence[bytes], gone: Counter[bytes]) -> list[bytes]:
    """Return those that are left when some have gone, the last of equal ones first."""
    rest = list(raws[::-1])
    for raw in gone.elements():
        rest.remove(raw)
    return rest[::-1]
