"""Who waits for a task or an answer; the part of a server that wakes its clients."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import anyio
from attrs import field, frozen

from runtime.memory.store import MemoryStore


@frozen(eq=False)
class Waiter:
    """One blocking wait.

    Attributes:
        holder: who takes what comes.
        taken: queue and body of what came: one task at most.
        over: set when something came, or when the wait is to end without.
    """

    holder: str
    taken: list[tuple[str, bytes]] = field(factory=list)
    over: anyio.Event = field(factory=anyio.Event)


class WaitingRoom:
    """All waits of one broker.

    A task goes to the one who has waited longest, in the moment in which it is pushed: it is never
    in the queue while somebody waits for it, as on a server.

    Args:
        store: what they wait for.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._waiters: dict[str, deque[Waiter]] = {}
        self._answers: dict[str, anyio.Event] = {}

    def __repr__(self) -> str:
        waiting = {queue: len(waiters) for queue, waiters in self._waiters.items() if waiters}
        return f"WaitingRoom({waiting}, {len(self._answers)} for answers)"

    @contextmanager
    def waiting(self, holder: str, queues: Sequence[str]) -> Iterator[Waiter]:
        """Wait in the lines of all queues, the first of them first, until the end of the block."""
        waiter = Waiter(holder)
        for queue in queues:
            self._waiters.setdefault(queue, deque()).append(waiter)
        try:
            for queue in queues:
                self.serve(queue)
            yield waiter
        finally:
            for queue in queues:
                self._waiters[queue].remove(waiter)

    def serve(self, queue: str) -> None:
        """Hand out what waits in a queue to those who wait for it."""
        for waiter in self._waiters.get(queue, ()):
            if waiter.over.is_set():
                continue
            raw = self._store.move(queue, waiter.holder)
            if raw is None:
                return
            waiter.taken.append((queue, raw))
            waiter.over.set()

    def answered(self, task_ids: Iterable[str | None]) -> None:
        """Wake those who wait for the answers of these tasks."""
        for task_id in task_ids:
            if task_id in self._answers:
                self._answers.pop(task_id).set()

    async def answer(self, task_id: str) -> None:
        """Wait until a task is answered from now on; a cancellation leaves nothing of note."""
        await self._answers.setdefault(task_id, anyio.Event()).wait()
