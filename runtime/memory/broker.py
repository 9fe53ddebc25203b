"""The in-memory broker: joins workers to a store of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from actors import BrokerError, Delay, Member, Surroundings
from messages import DeadLetter, cancelled_result, encode_result
from runtime.memory.session import MemorySession
from runtime.memory.store import MemoryStore
from runtime.memory.waiting import WaitingRoom
from runtime.outgoing import MAX_TASK_BYTES, NO_TERMS, Entry, TaskId, Terms, make_entry


class MemberKilledError(BrokerError):
    """Ends the block of a member that `MemoryBroker.kill` has ended.

    Attributes:
        holder: the member's holder.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} was killed")
        self.holder = holder


class MemoryBroker:
    """See `actors.Broker`. Belongs to one event loop, of asyncio or trio.

    Args:
        surroundings: where the times and ids of pushed tasks come from.

    Attributes:
        store: all that it keeps, for tests to look at.
    """

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings or Surroundings()
        self.store = MemoryStore(self._surroundings.now)
        self._room = WaitingRoom(self.store)
        self._joined: dict[str, tuple[MemorySession, anyio.CancelScope]] = {}

    def __repr__(self) -> str:
        return f"MemoryBroker({self.store!r}, members={sorted(self._joined)})"

    @asynccontextmanager
    async def join(self, member: Member) -> AsyncIterator[MemorySession]:
        """Enter with a lease on each of the member's queues; leaving gives them back.

        A cancellation while joining leaves no lease behind.

        Raises:
            MemberKilledError: the member was killed; what was inside has been cancelled.
        """
        await checkpoint()
        session = MemorySession(member, self.store, self._room)
        session.renew()
        with anyio.CancelScope() as life:
            self._joined[member.holder] = (session, life)
            try:
                async with anyio.create_task_group() as helpers:
                    helpers.start_soon(session.renew_for_ever)
                    yield session
                    helpers.cancel_scope.cancel()
            finally:
                del self._joined[member.holder]
                session.leave()
        if session.killed:
            raise MemberKilledError(member.holder)

    def kill(self, holder: str) -> None:
        """End a member as SIGKILL does: its lease stops, what it holds stays where it is.

        Its session reaches nothing any more; the block that it has joined for is cancelled and
        raises `MemberKilledError`, and so does the `run` of a worker.

        Raises:
            KeyError: no such holder has joined.
        """
        session, life = self._joined[holder]
        session.die()
        life.cancel(reason="the member was killed")

    def members(self) -> tuple[str, ...]:
        """Return the holders that have joined and not left, in the order of joining."""
        return tuple(self._joined)

    async def push(
        self,
        queue: str,
        task_type: str,
        payload: Mapping[str, Any],
        task_id: str | None = None,
        terms: Terms = NO_TERMS,
    ) -> TaskId:
        """Append a task to a queue and return its id; cancelled, it has pushed nothing.

        Args:
            queue: where it goes.
            task_type: says which handler runs it.
            payload: the handler's input: what can be written as a JSON object.
            task_id: its id; a fresh one if not given.
            terms: when it may be run; it lies among the delayed tasks until then.

        Raises:
            InvalidTaskError: the task can't be sent; nothing was.
        """
        entry = self.entry(task_type, payload, task_id, terms)
        if terms.unique_for is not None:
            await checkpoint()
            now = anyio.current_time()
            if not self.store.note_push(queue, entry.task_id, terms.unique_for, now):
                return TaskId(entry.task_id, duplicate=True)
        if terms.waits:
            await checkpoint()
            now = anyio.current_time()
            due = self.store.due(Delay(entry.body, terms.delay, terms.at), now)
            self.store.delay(queue, entry.body, due)
        else:
            await self.push_raw(queue, entry.body)
        return TaskId(entry.task_id)

    def entry(
        self,
        task_type: str,
        payload: Mapping[str, Any],
        task_id: str | None = None,
        terms: Terms = NO_TERMS,
    ) -> Entry:
        """Make the body of a task, to be pushed with `push_raw`; see `push`."""
        chosen = self._surroundings.token() if task_id is None else task_id
        nonce = self._surroundings.token() if terms.waits else None
        now = self._surroundings.now()
        return make_entry(task_type, payload, chosen, now, MAX_TASK_BYTES, terms, nonce)

    async def push_raw(self, queue: str, raw: bytes) -> None:
        """Append any bytes to a queue, as producers in other languages may."""
        await checkpoint()
        self.store.push(queue, raw)
        self._room.serve(queue)

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task; see `runtime.TaskQueue.cancel`."""
        await checkpoint()
        answer = encode_result(cancelled_result(task_id, self._surroundings.now()))
        outcome = self.store.cancel(task_id, answer, anyio.current_time())
        self._room.answered([task_id])
        return outcome != 0

    async def pause(self, queue: str) -> bool:
        """Let no worker take from a queue any more; return whether that changed something."""
        await checkpoint()
        return self.store.pause(queue, anyio.current_time(), on=True)

    async def resume(self, queue: str) -> bool:
        """Let workers take from a queue again; return whether that changed something."""
        await checkpoint()
        return self.store.pause(queue, anyio.current_time(), on=False)

    async def answer(self, task_id: str) -> dict[str, Any]:
        """Wait for a task's answer, whether it came before or comes later, and return it.

        Cancelled, it leaves nothing behind.
        """
        await checkpoint()
        while (found := self.result(task_id)) is None:
            await self._room.answer(task_id)
        return found

    def result(self, task_id: str) -> dict[str, Any] | None:
        """Return a task's answer, or None; called inside the event loop, for answers expire."""
        raw = self.store.result(task_id, anyio.current_time())
        return None if raw is None else msgspec.json.decode(raw, type=dict[str, Any])

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        """Return a queue's dead letters, oldest first."""
        return list(self.store.queue(queue).dead)

    def length(self, queue: str) -> int:
        """Return how many tasks wait in a queue."""
        return len(self.store.queue(queue).waiting)
