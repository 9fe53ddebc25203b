"""One worker's session with the in-memory broker: what `actors.Session` promises."""

from collections.abc import Mapping, Sequence
from typing import Final

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint

from actors import (
    Look,
    Member,
    Orders,
    Promoted,
    Recovery,
    Recurring,
    Settled,
    Settlement,
    Taken,
    UnreachableError,
)
from runtime.memory.store import MemoryStore
from runtime.memory.waiting import Waiter, WaitingRoom

_RENEWAL: Final = 1.0
"""Seconds between renewals of the lease."""

_FRESH: Final = 3.0
"""Seconds for which a renewal counts; others declare a holder dead after 4."""

_BLOCK: Final = 2.0
"""Seconds that one wait lasts at most, as with Redis."""

_DEAD_PAUSE: Final = 0.5
"""Seconds after which a call of a killed member fails."""


class MemorySession:
    """See `actors.Session`.

    Each call takes effect at one moment, and others may run before and after it, so that callers
    meet the interleavings that a server has. A cancellation comes before that moment, and then
    nothing has happened, or after the call.

    Args:
        member: whose session it is.
        store: what the server would keep.
        room: who waits.
    """

    def __init__(self, member: Member, store: MemoryStore, room: WaitingRoom) -> None:
        self._member = member
        self._store = store
        self._room = room
        self._cut = False
        self._alive = True
        self.killed = False
        """Whether the member is dead."""
        self._pulse = 0
        self._confirmed = float("-inf")
        self._lapses = 0
        self._seen = 0
        self._verified = 0
        self._lapsed = anyio.Event()
        self._batches = dict.fromkeys(member.queues, 0)
        self._woken = False
        self._waiter: Waiter | None = None
        self._heartbeat: bytes | None = None

    def __repr__(self) -> str:
        return f"MemorySession({self._member.holder!r}, alive={self._alive}, lapses={self._lapses})"

    def fresh(self) -> bool:
        """Say whether the lease is known to live."""
        young = anyio.current_time() - self._confirmed < _FRESH
        return young and self._verified == self._lapses

    async def lapsed(self) -> None:
        """Wait until the lease is found to have stopped and been renewed."""
        while self._verified == self._lapses:
            self._lapsed = anyio.Event()
            await self._lapsed.wait()
        self._seen = self._lapses

    def verified(self) -> None:
        """Say that the worker has compared what it runs with what it still holds."""
        # A lapse that came during the comparison needs another.
        self._verified = self._seen

    async def renew_for_ever(self) -> None:
        """Renew the lease every second; runs as long as the session."""
        while True:
            await anyio.sleep(_RENEWAL)
            self.renew()

    def renew(self) -> None:
        """Renew the lease, or take it out for the first time."""
        if not self._alive:
            return
        first = self._pulse == 0
        self._pulse += 1
        now = anyio.current_time()
        holder, slots = self._member.holder, self._member.slots
        known = [
            self._store.renew(queue, holder, self._pulse, slots, now)
            for queue in self._member.queues
        ]
        late = now - self._confirmed >= _FRESH
        self._confirmed = now
        if not first and (late or not all(known)):
            self._lapses += 1
            self._lapsed.set()

    async def take(self, queue: str, limit: int) -> Taken:
        """Take up to `limit` tasks that wait now."""
        await self._arrive()
        taken = self._store.take(queue, self._member.holder, limit)
        await cancel_shielded_checkpoint()
        return taken

    async def wait(self, queues: Sequence[str]) -> list[tuple[str, Taken]]:
        """Wait for a task on any of the queues, and take it.

        A cancellation may leave a taken task in the inflight list, as with Redis.
        """
        await self._arrive()
        try:
            with self._room.waiting(self._member.holder, queues) as waiter:
                self._waiter = waiter
                if not self._woken:
                    with anyio.move_on_after(_BLOCK):
                        await waiter.over.wait()
                marked = bool(self._store.cancelled)
                return [(queue, Taken((raw,), marked)) for queue, raw in waiter.taken]
        finally:
            self._waiter = None
            self._woken = False

    def wake(self) -> None:
        """Make a wait, under way or about to begin, return soon."""
        self._woken = True
        if self._waiter is not None:
            self._waiter.over.set()

    async def orders(self, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
        """Ask which of the queues are paused, and which of the tasks cancelled."""
        await self._arrive()
        found = self._store.orders(queues, task_ids)
        await cancel_shielded_checkpoint()
        return found

    async def held(self, queue: str) -> list[bytes]:
        """Read what this worker holds."""
        return await self.inflight(queue, self._member.holder)

    async def settle(self, queue: str, batch: Sequence[Settlement]) -> list[Settled]:
        """End held tasks; for a member that was killed or cut off it never returns."""
        self._batches[queue] += 1
        number = self._batches[queue]
        while True:
            try:
                await self._arrive()
            except UnreachableError:
                await anyio.sleep(_DEAD_PAUSE)
                continue
            now = anyio.current_time()
            statuses = self._store.settle(queue, self._member.holder, number, batch, now)
            self._room.answered(one.task_id for one in batch if one.result is not None)
            await cancel_shielded_checkpoint()
            return statuses

    async def release(
        self, queue: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes] = {}
    ) -> None:
        """Put held tasks back to the head of their queue."""
        await self._arrive()
        self._store.release(queue, self._member.holder, raws, bodies)
        self._room.serve(queue)
        await cancel_shielded_checkpoint()

    async def promote(self, queue: str, limit: int) -> Promoted:
        """Move due tasks to the tail of the queue, if this worker leads."""
        await self._arrive()
        now = anyio.current_time()
        promoted = self._store.promote(queue, self._member.holder, limit, now)
        self._room.serve(queue)
        await cancel_shielded_checkpoint()
        return promoted

    async def beat(self, heartbeat: bytes, expires: float) -> None:
        """Store the heartbeat."""
        await self._arrive()
        self._heartbeat = heartbeat
        self._store.beat(self._member.worker_id, heartbeat, expires, anyio.current_time())
        await cancel_shielded_checkpoint()

    async def look(self, queue: str) -> Look:
        """Look at all holders of a queue."""
        await self._arrive()
        seen = self._store.look(queue)
        await cancel_shielded_checkpoint()
        return seen

    async def inflight(self, queue: str, holder: str) -> list[bytes]:
        """Read what a holder holds."""
        await self._arrive()
        listed = self._store.held(queue, holder)
        await cancel_shielded_checkpoint()
        return listed

    async def reclaim(
        self, queue: str, holder: str, pulse: str | None, recoveries: Sequence[Recovery]
    ) -> int:
        """Recover a dead holder's last tasks."""
        await self._arrive()
        now = anyio.current_time()
        count = self._store.reclaim(queue, holder, pulse, recoveries, now)
        self._room.answered(one.bury.task_id for one in recoveries if one.bury is not None)
        self._room.serve(queue)
        await cancel_shielded_checkpoint()
        return count

    async def forget(self, queue: str, holder: str) -> None:
        """Drop a holder that owns neither a lease nor a task."""
        await self._arrive()
        self._store.forget(queue, holder)
        await cancel_shielded_checkpoint()

    async def recurring(self, queue: str, names: Sequence[str]) -> Recurring:
        """Look how far recurring tasks have been fired."""
        await self._arrive()
        seen = self._store.recurring(queue, names, anyio.current_time())
        await cancel_shielded_checkpoint()
        return seen

    async def fire(
        self, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
    ) -> bool:
        """Push a recurring task's tasks, unless another worker was first."""
        await self._arrive()
        done = self._store.fire(queue, name, fired, upto, bodies, anyio.current_time())
        self._room.serve(queue)
        await cancel_shielded_checkpoint()
        return done

    async def save(self, queue: str, raw: bytes, task_id: str, state: bytes) -> int:
        """Keep a held task's state."""
        await self._arrive()
        number = self._store.save(queue, self._member.holder, raw, task_id, state)
        await cancel_shielded_checkpoint()
        return number

    async def saved(self, queue: str, task_id: str) -> tuple[int, bytes] | None:
        """Read the state that was saved last for a task."""
        await self._arrive()
        return self._store.notes.saved(queue, task_id)

    async def saved_numbers(self, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
        """Read the numbers of saved states."""
        await self._arrive()
        return self._store.notes.numbers(queue, task_ids)

    async def report(
        self, progress: Mapping[str, bytes], over: Mapping[str, bytes], expires: float
    ) -> None:
        """Store what is known of running tasks, and remove what was stored of others."""
        await self._arrive()
        self._store.notes.report(progress, over, expires, anyio.current_time())

    def cut(self) -> None:
        """Give the server up: calls to come fail at once."""
        self._cut = True

    def leave(self) -> None:
        """Give back leases and heartbeat; a killed member leaves them behind."""
        if not self._alive:
            return
        self._alive = False
        for queue in self._member.queues:
            self._store.leave(queue, self._member.holder)
        if self._heartbeat is not None:
            now = anyio.current_time()
            self._store.stop_beating(self._member.worker_id, self._heartbeat, now)

    def die(self) -> None:
        """Reach the server no more, and leave everything behind."""
        self._alive = False
        self.killed = True
        # What is pushed from now on isn't for a dead member's wait.
        self.wake()

    async def _arrive(self) -> None:
        """Go on to the moment in which a call takes effect."""
        await checkpoint()
        if self._cut:
            raise UnreachableError("the server was given up")
        if not self._alive:
            await anyio.sleep(_DEAD_PAUSE)
            raise UnreachableError("this member was killed or has left")
