"""What a Redis server keeps for the pool, in memory: one method for each Lua script.

A plain, synchronous class: each method happens wholly, as a script does, and the time is passed
in, in seconds of whatever clock the caller goes by. The scripts in `runtime/redis/lua` say which
invariant each step keeps; the side-by-side state machine in `tests/brokers` holds both together.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Final

from actors import (
    Delay,
    LeaseLapsedError,
    Look,
    Orders,
    Promoted,
    Recovery,
    Recurring,
    Settled,
    Settlement,
    Taken,
)
from actors.settings import MAX_BATCH_BYTES
from actors.surroundings import utc_now
from runtime.memory.expiring import Expiring
from runtime.memory.expiring import alive as _alive
from runtime.memory.notes import NotesStore
from runtime.memory.queue_state import Batch, QueueState
from runtime.redis import keys

RESULT_EXPIRES: Final = 3600.0
"""Seconds; the contract's."""

SETTLED_EXPIRES: Final = 3600.0
"""Seconds for which a batch that comes again is known."""


DEAD_LETTERS_KEPT: Final = 100_000
"""Dead letters of a queue that are kept, unless it is said otherwise."""

LEAD: Final = 1.0
"""Seconds for which a holder leads in looking at the delayed tasks."""


class MemoryStore:
    """Queues and all that lies beside them.

    Args:
        wall: the time of day, for delays until a moment.
        dead_letters_kept: of a queue; more make room for newer ones.
    """

    def __init__(
        self, wall: Callable[[], datetime] = utc_now, dead_letters_kept: int = DEAD_LETTERS_KEPT
    ) -> None:
        self.dead_letters_kept = dead_letters_kept
        self.wall = wall
        """Tells the time of day, for delays until a moment."""
        self.dawn: int | None = None
        """The time of day at which the store's clock was 0, in ms, since somebody asked for it."""
        self.queues: dict[str, QueueState] = {}
        self.results: dict[str, Expiring] = {}
        """Task id → its answer, expired ones among them until somebody asks."""
        self.heartbeats: dict[str, Expiring] = {}
        """Worker id → its heartbeat, likewise."""
        self.cancelled: dict[str, float] = {}
        """Ids of cancelled tasks whose bodies are still there → when they were cancelled."""
        self.published: list[tuple[str, bytes]] = []
        """Channel and message of all that was ever published, in order."""
        self.notes = NotesStore()
        """What runs note of themselves."""

    def __repr__(self) -> str:
        lengths = {name: len(state.waiting) for name, state in self.queues.items()}
        return f"MemoryStore({lengths}, {len(self.results)} results)"

    def queue(self, name: str) -> QueueState:
        """Return what lies beside a queue."""
        return self.queues.setdefault(name, QueueState())

    def delay(self, queue: str, raw: bytes, due: float) -> None:
        """Add a task to the delayed ones."""
        self.queue(queue).delayed[raw] = due

    def promote(self, queue: str, holder: str, limit: int, now: float) -> Promoted:
        """Move up to `limit` due tasks to the tail of the queue, if the holder leads."""
        state = self.queue(queue)
        leader = _alive(state.promoter, "holder", now)
        if leader is not None and leader != holder.encode():
            return Promoted(leads=False, moved=0, wait=state.promoter["holder"].until - now)
        state.promoter["holder"] = Expiring(holder.encode(), now + LEAD)
        ordered = sorted((due, raw) for raw, due in state.delayed.items())
        ripe = [raw for due, raw in ordered if due <= now][:limit]
        for raw in ripe:
            state.waiting.append(raw)
            del state.delayed[raw]
        wait = max(0.0, ordered[len(ripe)][0] - now) if len(ordered) > len(ripe) else inf
        return Promoted(leads=True, moved=len(ripe), wait=wait)

    def note_push(self, queue: str, task_id: str, unique_for: float, now: float) -> bool:
        """Note that a task is pushed; return False if one of its id was, not long ago."""
        pushed = self.queue(queue).pushed
        if _alive(pushed, task_id, now) is not None:
            return False
        pushed[task_id] = Expiring(b"1", now + unique_for)
        return True

    def push(self, queue: str, raw: bytes) -> None:
        """Append a task, as a producer's RPUSH does."""
        self.queue(queue).waiting.append(raw)

    def move(self, queue: str, holder: str) -> bytes | None:
        """Take the head of a queue whatever the lease says, as a BLMOVE does."""
        state = self.queue(queue)
        if not state.waiting:
            return None
        raw = state.waiting.popleft()
        state.inflight.setdefault(holder, []).append(raw)
        return raw

    def take(self, queue: str, holder: str, limit: int) -> Taken:
        """Take up to `limit` tasks that wait, oldest first, and no more once 8 MiB are reached.

        Of a paused queue it takes none.

        Raises:
            LeaseLapsedError: the holder owns no lease.
        """
        state = self.queue(queue)
        if holder not in state.leases:
            raise LeaseLapsedError("the server knows no lease of this worker")
        taken: list[bytes] = []
        size = 0
        while not state.paused and len(taken) < limit and size < MAX_BATCH_BYTES:
            raw = self.move(queue, holder)
            if raw is None:
                break
            taken.append(raw)
            size += len(raw)
        return Taken(tuple(taken), marked=bool(self.cancelled))

    def orders(self, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
        """Tell which of the queues are paused, and which of the tasks cancelled."""
        return Orders(
            paused=frozenset(queue for queue in queues if self.queue(queue).paused),
            cancelled=frozenset(self.cancelled.keys() & task_ids),
        )

    def cancel(self, task_id: str, answer: bytes, now: float) -> int:
        """Answer a task as cancelled and mark it.

        Returns:
            1 if that was done, 0 if the task was answered before, 2 if it was cancelled before.
        """
        if task_id in self.cancelled:
            return 2
        if self.result(task_id, now) is not None:
            return 0
        self.cancelled[task_id] = now
        self.results[task_id] = Expiring(answer, now + RESULT_EXPIRES)
        self._announce(task_id, answer)
        return 1

    def pause(self, queue: str, now: float, *, on: bool) -> bool:
        """Pause a queue, or let workers take again; return whether that changed something."""
        state = self.queue(queue)
        if bool(state.paused) is on:
            return False
        state.paused[:] = [now] if on else []
        return True

    def settle(
        self, queue: str, holder: str, number: int, batch: Sequence[Settlement], now: float
    ) -> list[Settled]:
        """End held tasks; a batch whose number was seen does nothing and answers as before."""
        state = self.queue(queue)
        before = state.settled.get(holder)
        if before is not None and now < before.until and before.number >= number:
            return list(before.statuses)
        statuses = [self._settle(state, holder, one, now) for one in batch]
        state.settled[holder] = Batch(number, tuple(statuses), now + SETTLED_EXPIRES)
        for one, status in zip(batch, statuses, strict=True):
            if status is Settled.DONE:
                self._publish(one)
            if status is Settled.CANCELLED or (status is Settled.DONE and one.delay is None):
                self.notes.drop(queue, one.task_id)
        self._trim(state)
        return statuses

    def _settle(self, state: QueueState, holder: str, one: Settlement, now: float) -> Settled:
        raws = state.inflight.get(holder, [])
        if one.raw not in raws:
            return Settled.STALE
        status = Settled.CANCELLED if self._unmark(one.task_id) else Settled.DONE
        if status is Settled.DONE:
            if one.delay is None:
                self._end(state, one, now)
            else:
                state.delayed[one.delay.body] = self.due(one.delay, now)
        raws.remove(one.raw)
        state.put_inflight(holder, raws)
        return status

    def _unmark(self, task_id: str | None) -> bool:
        """Take the mark from a cancelled task whose body is dropped; return whether it had one."""
        return task_id is not None and self.cancelled.pop(task_id, None) is not None

    def _trim(self, state: QueueState) -> None:
        """Let the oldest dead letters make room for newer ones."""
        extra = len(state.dead) - self.dead_letters_kept
        if extra > 0:
            del state.dead[:extra]
            state.trimmed[0] += extra

    def due(self, delay: Delay, now: float) -> float:
        """Return when a delay ends, in seconds of the store's clock."""
        if delay.at is not None:
            return now + (delay.at - self.wall()).total_seconds()
        return now + (delay.after or 0)

    def _end(self, state: QueueState, one: Settlement, now: float) -> None:
        if one.dead is not None:
            state.dead.append(one.dead)
        if one.task_id is not None and one.result is not None:
            self.results[one.task_id] = Expiring(one.result, now + RESULT_EXPIRES)

    def _publish(self, one: Settlement) -> None:
        if one.task_id is not None and one.result is not None:
            self._announce(one.task_id, one.result)

    def _announce(self, task_id: str, answer: bytes) -> None:
        self.published.append((keys.RESULTS_CHANNEL, answer))
        self.published.append((keys.result(task_id), answer))

    def release(
        self, queue: str, holder: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes] = {}
    ) -> int:
        """Put held tasks back to the head of their queue; return how many were held."""
        state = self.queue(queue)
        listed = state.inflight.get(holder, [])
        count = 0
        for raw in reversed(raws):
            if raw in listed:
                state.waiting.appendleft(bodies.get(raw, raw))
                # Of equal bodies the last goes, as on a server.
                del listed[len(listed) - 1 - listed[::-1].index(raw)]
                count += 1
        state.put_inflight(holder, listed)
        return count

    def save(self, queue: str, holder: str, raw: bytes, task_id: str, state: bytes) -> int:
        """Keep a held task's state; return its number, or 0 if the task isn't held."""
        held = raw in self.queue(queue).inflight.get(holder, ())
        return self.notes.keep(queue, task_id, state) if held else 0

    def held(self, queue: str, holder: str) -> list[bytes]:
        """Read what a holder holds, oldest first."""
        return list(self.queue(queue).inflight.get(holder, ()))

    def renew(self, queue: str, holder: str, pulse: int, slots: int, now: float) -> bool:
        """Renew a lease; return whether it was there."""
        state = self.queue(queue)
        known = holder in state.leases
        state.holders[holder] = now
        state.leases[holder] = f"{pulse} {slots}"
        return known

    def look(self, queue: str) -> Look:
        """Look at all holders of a queue."""
        state = self.queue(queue)
        return Look(
            leases=dict(state.leases),
            slots={holder: int(lease.partition(" ")[2]) for holder, lease in state.leases.items()},
            unleased={
                holder: holder in state.inflight
                for holder in state.holders
                if holder not in state.leases
            },
        )

    def reclaim(
        self,
        queue: str,
        holder: str,
        pulse: str | None,
        recoveries: Sequence[Recovery],
        now: float,
    ) -> int:
        """Recover a dead holder's last tasks, if its lease is still `pulse`; return how many."""
        state = self.queue(queue)
        if (state.leases.get(holder) or "") != (pulse or ""):
            return 0
        listed = state.inflight.get(holder, [])
        count = 0
        for one in reversed(recoveries):
            if not listed or listed[-1] != one.raw:
                return count
            if one.bury is not None:
                if not self._unmark(one.bury.task_id):
                    self._end(state, one.bury, now)
                    self._publish(one.bury)
                    self._trim(state)
                self.notes.drop(queue, one.bury.task_id)
            else:
                state.waiting.appendleft(one.raw if one.requeue is None else one.requeue)
            listed.pop()
            state.put_inflight(holder, listed)
            count += 1
        state.leases.pop(holder, None)
        return count

    def time_of_day(self, now: float) -> int:
        """Return the time of day in ms: it goes on as the store's clock does."""
        if self.dawn is None:
            self.dawn = round((self.wall().timestamp() - now) * 1000)
        return self.dawn + int(now * 1000)

    def recurring(self, queue: str, names: Sequence[str], now: float) -> Recurring:
        """Tell how far recurring tasks have been fired; drop those that nobody declares."""
        return self.queue(queue).recurring.look(names, self.time_of_day(now))

    def fire(  # noqa: PLR0913, PLR0917 - the parts of a firing
        self,
        queue: str,
        name: str,
        fired: int | None,
        upto: int,
        bodies: Sequence[bytes],
        now: float,
    ) -> bool:
        """Push a recurring task's tasks, unless another worker was first; return whether it did."""
        state = self.queue(queue)
        first = state.recurring.note(name, fired, upto, self.time_of_day(now))
        if first:
            state.waiting.extend(bodies)
        return first

    def forget(self, queue: str, holder: str) -> bool:
        """Drop a holder that owns neither a lease nor a task; return whether it was dropped."""
        state = self.queue(queue)
        if holder in state.leases or holder in state.inflight:
            return False
        return state.holders.pop(holder, None) is not None

    def leave(self, queue: str, holder: str) -> bool:
        """Give a lease back; return whether nothing is left of the holder."""
        state = self.queue(queue)
        state.leases.pop(holder, None)
        if holder in state.inflight:
            return False
        state.settled.pop(holder, None)
        state.holders.pop(holder, None)
        return True

    def beat(self, worker_id: str, body: bytes, expires: float, now: float) -> None:
        """Store a heartbeat for `expires` seconds."""
        self.heartbeats[worker_id] = Expiring(body, now + expires)

    def stop_beating(self, worker_id: str, body: bytes, now: float) -> None:
        """Remove a heartbeat, if it is still the one that is given."""
        if _alive(self.heartbeats, worker_id, now) == body:
            del self.heartbeats[worker_id]

    def heartbeat(self, worker_id: str, now: float) -> bytes | None:
        """Return a worker's heartbeat, unless it has expired."""
        return _alive(self.heartbeats, worker_id, now)

    def result(self, task_id: str, now: float) -> bytes | None:
        """Return a task's answer, unless it has expired."""
        return _alive(self.results, task_id, now)
