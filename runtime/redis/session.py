"""One worker's session with a Redis server: what `actors.Session` promises, on real connections.

There is one connection for each actor that must not wait for another's calls: the fetcher, the
publisher, the runs' states and progress, everybody else, the lease thread, and one for the
blocking wait on each queue.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import anyio
from attrs import frozen
from loguru import logger

from actors import (
    BrokerError,
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
from runtime.redis import keys, scripts
from runtime.redis.lease import Lease
from runtime.redis.line import FullServerError, Line, WaitingLine

_BLOCK: Final = 2.0
"""Seconds that one blocking wait lasts at most: shorter than a lease takes to lapse."""

_BLOCK_SLACK: Final = 3.0
"""Seconds by which the wait's reply may be late before the connection counts as lost."""

_NUDGE: Final = 0.02
"""Seconds between unblockings; one that comes before the wait has begun is lost."""

_FULL_POLL: Final = 0.1
"""Seconds between takes on a server that is full and refuses the blocking wait."""


@frozen(eq=False)
class Lines:
    """The session's connections."""

    take: Line
    settle: Line
    rest: Line
    notes: Line
    waits: dict[str, WaitingLine]

    def all(self) -> tuple[Line, ...]:
        """Return each of them."""
        return (self.take, self.settle, self.rest, self.notes, *self.waits.values())


class RedisSession:
    """See `actors.Session`.

    Args:
        member: whose session it is.
        lines: its connections.
        lease: what is known of its lease.
        kept: dead letters of a queue that are kept; more make room for newer ones.
    """

    def __init__(
        self, member: Member, lines: Lines, lease: Lease, kept: int = scripts.DEAD_LETTERS_KEPT
    ) -> None:
        self._member = member
        self._lines = lines
        self._lease = lease
        self._kept = kept
        self._trimmings = 0
        self._verified = 0
        self._seen = 0
        self._lapsed = anyio.Event()
        self._batches = dict.fromkeys(member.queues, 0)
        self._woken = False
        self._wake = anyio.Event()
        self._pending: set[str] = set()
        self._heartbeat: bytes | None = None

    def __repr__(self) -> str:
        return f"RedisSession({self._member.holder!r}, {self._lease!r})"

    def fresh(self) -> bool:
        """Say whether the lease is known to live."""
        return self._verified == self._lease.lapses and self._lease.fresh()

    def note_lapse(self) -> None:
        """Wake whoever waits for a lapse; called on the event loop."""
        self._lapsed.set()

    async def lapsed(self) -> None:
        """Wait until the lease is found to have stopped and been renewed."""
        while self._verified == self._lease.lapses:
            self._lapsed = anyio.Event()
            await self._lapsed.wait()
        self._seen = self._lease.lapses

    def verified(self) -> None:
        """Say that the worker has compared what it runs with what it still holds."""
        # A lapse that came during the comparison needs another.
        self._verified = self._seen

    async def take(self, queue: str, limit: int) -> Taken:
        """Take up to `limit` tasks that wait now."""
        return await scripts.take(self._lines.take.call, queue, self._member.holder, limit)

    async def wait(self, queues: Sequence[str]) -> list[tuple[str, Taken]]:
        """Wait for a task on any of the queues, and take it.

        On several queues each may bring one. Raises only if none did.
        """
        if len(queues) == 1:
            found = await self._wait_one(queues[0])
            return [(queues[0], found)] if found.raws else []
        taken: list[tuple[str, Taken]] = []
        failures: list[BrokerError] = []

        async def wait_one(queue: str) -> None:
            try:
                found = await self._wait_one(queue)
            except BrokerError as error:
                failures.append(error)
            else:
                if found.raws:
                    taken.append((queue, found))
            if self._pending:
                self.wake()

        async with anyio.create_task_group() as waits:
            for queue in queues:
                waits.start_soon(wait_one, queue)
        if failures and not taken:
            raise failures[0]
        return taken

    async def _wait_one(self, queue: str) -> Taken:
        inflight = keys.inflight(queue, self._member.holder)
        self._pending.add(queue)
        if self._woken:
            self._wake.set()
        try:
            raw, kind = await self._lines.waits[queue].calls(
                _BLOCK + _BLOCK_SLACK,
                ("BLMOVE", queue, inflight, "LEFT", "RIGHT", str(_BLOCK)),
                # After the wait, so that what was cancelled during it isn't missed.
                ("TYPE", keys.CANCELLED),
            )
        except FullServerError:
            # A full server: scripts may still write, so tasks drain.
            taken = await self.take(queue, 1)
            if not taken.raws:
                await anyio.sleep(_FULL_POLL)
            return taken
        finally:
            self._pending.discard(queue)
            if not self._pending:
                self._woken = False
        return Taken() if raw is None else Taken((raw,), kind == b"zset")

    def wake(self) -> None:
        """Make a wait, under way or about to begin, return soon."""
        self._woken = True
        self._wake.set()

    async def unblock_when_woken(self) -> None:
        """Unblock pending waits whenever `wake` is called; runs as long as the session."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._woken and self._pending:
                for queue in list(self._pending):
                    client_id = self._lines.waits[queue].client_id
                    if client_id is not None:
                        await self._unblock(client_id)
                await anyio.sleep(_NUDGE)

    async def _unblock(self, client_id: int) -> None:
        try:
            await self._lines.rest.call("CLIENT", "UNBLOCK", client_id)
        except BrokerError as error:
            logger.debug("Unblocking a wait failed, it ends by itself: {}", error)

    async def orders(self, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
        """Ask which of the queues are paused, and which of the tasks cancelled."""
        return await scripts.orders(self._lines.rest.call, queues, task_ids)

    async def held(self, queue: str) -> list[bytes]:
        """Read what this worker holds."""
        return await scripts.held(self._lines.take.call, queue, self._member.holder)

    async def settle(self, queue: str, batch: Sequence[Settlement]) -> list[Settled]:
        """End held tasks.

        After a lost reply the batch is sent again under its number, by which the script knows
        it. A cancellation leaves it unknown whether the batch was settled.
        """
        self._batches[queue] += 1
        number = self._batches[queue]
        while True:
            try:
                statuses, refusal, trimmed = await scripts.settle(
                    self._lines.settle.call, queue, self._member.holder, number, batch, self._kept
                )
            except UnreachableError:
                continue
            self._note_trimmed(queue, trimmed)
            if refusal:
                logger.warning("The server refused a part of settling: {}", refusal)
            return statuses

    async def release(
        self, queue: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes] = {}
    ) -> None:
        """Put held tasks back to the head of their queue."""
        await scripts.release(self._lines.take.call, queue, self._member.holder, raws, bodies)

    async def promote(self, queue: str, limit: int) -> Promoted:
        """Move due tasks to the tail of the queue, if this worker leads."""
        return await scripts.promote(self._lines.rest.call, queue, self._member.holder, limit)

    async def beat(self, heartbeat: bytes, expires: float) -> None:
        """Store the heartbeat."""
        self._heartbeat = heartbeat
        await scripts.beat(self._lines.rest.call, self._member.worker_id, heartbeat, expires)

    async def look(self, queue: str) -> Look:
        """Look at all holders of a queue."""
        return await scripts.look(self._lines.rest.call, queue)

    async def inflight(self, queue: str, holder: str) -> list[bytes]:
        """Read what another worker holds."""
        return await scripts.held(self._lines.rest.call, queue, holder)

    async def reclaim(
        self, queue: str, holder: str, pulse: str | None, recoveries: Sequence[Recovery]
    ) -> int:
        """Recover a dead holder's last tasks."""
        call = self._lines.rest.call
        recovered, trimmed = await scripts.reclaim(
            call, queue, holder, pulse, recoveries, self._kept
        )
        self._note_trimmed(queue, trimmed)
        return recovered

    def _note_trimmed(self, queue: str, count: int) -> None:
        """Say the 1st, 2nd, 4th, 8th … time that dead letters made room for newer ones."""
        if not count:
            return
        self._trimmings += 1
        if self._trimmings & (self._trimmings - 1) == 0:
            logger.warning(
                "The oldest {} dead letters of {} made room for newer ones: {} are kept",
                count,
                queue,
                self._kept,
            )

    async def forget(self, queue: str, holder: str) -> None:
        """Drop a holder that owns neither a lease nor a task."""
        await scripts.forget(self._lines.rest.call, queue, holder)

    async def recurring(self, queue: str, names: Sequence[str]) -> Recurring:
        """Look how far recurring tasks have been fired."""
        return await scripts.recurring(self._lines.rest.call, queue, names)

    async def fire(
        self, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
    ) -> bool:
        """Push a recurring task's tasks, unless another worker was first.

        Never sent again: after a lost reply another look tells whether it happened.
        """
        return await scripts.fire(self._lines.rest.call, queue, name, fired, upto, bodies)

    async def save(self, queue: str, raw: bytes, task_id: str, state: bytes) -> int:
        """Keep a held task's state."""
        holder = self._member.holder
        return await scripts.save(self._lines.notes.call, queue, holder, raw, task_id, state)

    async def saved(self, queue: str, task_id: str) -> tuple[int, bytes] | None:
        """Read the state that was saved last for a task."""
        return await scripts.saved(self._lines.notes.call, queue, task_id)

    async def saved_numbers(self, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
        """Read the numbers of saved states."""
        return await scripts.saved_numbers(self._lines.rest.call, queue, task_ids)

    async def report(
        self, progress: Mapping[str, bytes], over: Mapping[str, bytes], expires: float
    ) -> None:
        """Store what is known of running tasks, and remove what was stored of others."""
        await scripts.report(self._lines.notes.call, progress, over, expires)

    def cut(self) -> None:
        """Give the server up."""
        for line in self._lines.all():
            line.cut()

    async def leave(self) -> None:
        """Give back leases and heartbeat, as far as the server can be reached."""
        call = self._lines.rest.call
        try:
            for queue in self._member.queues:
                # A wait that hasn't ended may still take a task: then the lease is left to lapse.
                if queue not in self._pending:
                    await scripts.leave(call, queue, self._member.holder)
            if self._heartbeat is not None:
                await scripts.stop_beating(call, self._member.worker_id, self._heartbeat)
        except BrokerError as error:
            logger.warning("The lease is left to lapse: {}", error)
