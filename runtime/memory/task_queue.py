"""The producer's side of the in-memory broker: what `runtime.TaskQueue` is for Redis."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.lowlevel import checkpoint

from runtime.errors import ResultTimeoutError
from runtime.memory.broker import MemoryBroker
from runtime.memory.whereabouts import find_task
from runtime.outgoing import TaskId, Terms, check_id, check_queue, check_unique
from runtime.redis import keys
from runtime.task_state import TaskState


class MemoryTaskQueue:
    """Has the methods of `runtime.TaskQueue`, so that code which pushes tasks can be given it.

    Args:
        broker: where tasks go.
        queue: where tasks go that name no queue.
    """

    def __init__(self, broker: MemoryBroker, *, queue: str = keys.CLUSTER_QUEUE) -> None:
        self._broker = broker
        self._queue = queue

    def __repr__(self) -> str:
        return f"MemoryTaskQueue({self._broker!r}, queue={self._queue})"

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Do nothing: there is no server."""
        await checkpoint()

    async def close(self) -> None:
        """Do nothing: there is no server."""
        await checkpoint()

    async def push_task(  # noqa: PLR0913 - what may be said of a task, by keyword
        self,
        type: str,  # noqa: A002 - the contract's name for it
        payload: Mapping[str, Any],
        *,
        queue: str | None = None,
        task_id: str | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        expires_in: float | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the task's runs
        unique_for: float | None = None,
    ) -> TaskId:
        """Append a task to a queue and return its id; cancelled, it has pushed nothing.

        See `TaskQueue.push_task` for what the arguments mean.

        Raises:
            InvalidTaskError: the task can't be sent; nothing was.
        """
        terms = Terms(
            delay=delay,
            at=at,
            expires_in=expires_in,
            max_attempts=max_attempts,
            timeout=timeout,
            unique_for=unique_for,
        )
        check_unique(terms, task_id)
        return await self._broker.push(self._named(queue), type, payload, task_id, terms)

    async def push_many(
        self, tasks: Iterable[tuple[str, Mapping[str, Any]]], *, queue: str | None = None
    ) -> list[str]:
        """Append tasks to a queue, in order, and return their ids; cancelled, a part is pushed.

        Raises:
            InvalidTaskError: one can't be sent; nothing was.
        """
        name = self._named(queue)
        entries = [self._broker.entry(kind, payload) for kind, payload in tasks]
        for entry in entries:
            await self._broker.push_raw(name, entry.body)
        return [entry.task_id for entry in entries]

    async def get_queue_length(self, queue: str | None = None) -> int:
        """Return how many tasks wait in a queue."""
        await checkpoint()
        return self._broker.length(self._named(queue))

    async def get_task_result(
        self,
        task_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the contract's
    ) -> dict[str, Any]:
        """Return a task's result as soon as there is one, whether it came before or comes later.

        Cancelled, it leaves nothing behind.

        Args:
            task_id: the task.
            timeout: how long to wait, in seconds; 0 looks once; None waits for ever.

        Raises:
            ResultTimeoutError: there is none in time; a `TimeoutError`.
        """
        check_id(task_id)
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout}, expected seconds of 0 or more, or None")
        await checkpoint()
        if (found := self._broker.result(task_id)) is not None:
            return found
        with anyio.move_on_after(timeout):
            return await self._broker.answer(task_id)
        raise ResultTimeoutError(task_id, timeout or 0.0)

    async def get_task(self, task_id: str, *, queue: str | None = None) -> TaskState:  # noqa: ARG002 - all queues are known
        """Tell where a task is; see `TaskQueue.get_task`."""
        check_id(task_id)
        await checkpoint()
        return find_task(self._broker.store, task_id, anyio.current_time())

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task; return False if it was answered before. See `TaskQueue.cancel`."""
        check_id(task_id)
        return await self._broker.cancel(task_id)

    async def pause(self, queue: str) -> bool:
        """Let no worker take from a queue any more; return whether that changed something."""
        return await self._broker.pause(self._named(queue))

    async def resume(self, queue: str) -> bool:
        """Let workers take from a queue again; return whether that changed something."""
        return await self._broker.resume(self._named(queue))

    def _named(self, queue: str | None) -> str:
        name = self._queue if queue is None else queue
        check_queue(name)
        return name
