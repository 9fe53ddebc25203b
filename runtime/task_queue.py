"""The producer's side: pushing tasks and awaiting their results."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from messages import cancelled_result, encode_result
from runtime.errors import ResultTimeoutError, UnreadableResultError
from runtime.heartbeats import queue_names
from runtime.lazy_session import SOURCES, LazySession, Sources
from runtime.outgoing import (
    MAX_TASK_BYTES,
    NO_TERMS,
    Entry,
    TaskId,
    Terms,
    check_id,
    check_queue,
    check_unique,
    make_entry,
)
from runtime.redis import keys, producer_scripts
from runtime.task_state import TaskState
from runtime.traces.carrier import NO_CARRIER, Carrier
from runtime.traces.producer import sending
from runtime.whereabouts import find_task

# Then other tasks of the event loop have their turn.
_ENCODED_AT_ONCE: Final = 1_000


class TaskQueue(LazySession):
    """Pushes tasks on BRAiN's queues and awaits their results, on asyncio.

    It connects by itself at the first call, may be used by any number of tasks of one event loop
    at the same time, and belongs to that loop until `close()`. After `close()` the next call
    connects anew.

        async with TaskQueue() as queue:
            task_id = await queue.push_task("health_check", {"cluster_id": "demo"})
            result = await queue.get_task_result(task_id, timeout=10)

    Args:
        url: the server; the environment's REDIS_URL, read when connecting, if not given.
        queue: where tasks go that name no queue.
        max_task_bytes: the largest task body that is sent.
        timeout: how long the server may take to connect or reply, in seconds.
        sources: where time, ids and chance come from.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        queue: str = keys.CLUSTER_QUEUE,
        max_task_bytes: int = MAX_TASK_BYTES,
        timeout: float = 5.0,
        sources: Sources = SOURCES,
    ) -> None:
        super().__init__(url, timeout=timeout, sources=sources)
        self._queue = queue
        self._max_task_bytes = max_task_bytes

    def __repr__(self) -> str:
        return f"TaskQueue({self._where()}, queue={self._queue}, connected={self.connected})"

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
        """Append a task to a queue and return its id; with `delay` or `at`, when its time comes.

        Cancelled, it may have queued the task or not: as with `PushUncertainError`, only a result
        can tell.

        Args:
            type: says which handler runs it.
            payload: the handler's input: what can be written as a JSON object.
            queue: where it goes; the constructor's queue if not given.
            task_id: its id; a fresh one if not given. Two tasks with one id share one result.
            delay: seconds from now, by the server's clock, before which it isn't started.
            at: the time before which it isn't started, with its zone, by the server's clock.
            expires_in: seconds from now after which it isn't started any more: it becomes a dead
                letter and is answered with a failure.
            max_attempts: runs in all, the first included; by default the handler's.
            timeout: seconds that a run may take; by default the handler's.
            unique_for: seconds for which another push of this `task_id` on this queue is none:
                nothing is queued, and the id that is returned says `duplicate`. So a push can be
                repeated safely.

        Raises:
            InvalidTaskError: the task can't be sent; nothing was.
            ServerUnreachableError: there is no connection; nothing was sent.
            RequestRefusedError: the server refused it; nothing is queued.
            PushUncertainError: the connection failed meanwhile; it may be queued or not.
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
        name = self._named(queue)
        with sending(name) as push:
            entry = self._entry(type, payload, task_id, terms, push.carrier)
            push.tell(entry.task_id, type, len(entry.body))
            if unique_for is not None:
                session = await self._open()
                pushed = await session.push_unique(name, entry, unique_for, delay, at)
                return TaskId(entry.task_id, duplicate=not pushed)
            if terms.waits:
                await (await self._open()).delay(name, entry, delay, at)
            else:
                await self._push(name, [entry])
        return TaskId(entry.task_id)

    async def push_many(
        self, tasks: Iterable[tuple[str, Mapping[str, Any]]], *, queue: str | None = None
    ) -> list[str]:
        """Append tasks to a queue, in order, and return their ids.

        All are encoded before the first is sent, so that one that can't be sent stops all of
        them. They go in batches of at most 1,000 tasks or 8 MiB, each queued as a whole or not
        at all; other producers' tasks may come between two batches. Cancelled, it may have queued
        a part.

        Args:
            tasks: pairs of type and payload, as for `push_task`.
            queue: where they go; the constructor's queue if not given.

        Raises:
            InvalidTaskError: one can't be sent; nothing was.
            ServerUnreachableError: there is no connection; nothing was sent.
            RequestRefusedError: the server refused a batch; its `queued` are those before.
            PushUncertainError: the connection failed meanwhile; its `queued` are on the queue,
                its `task_ids` may be, those behind are not.
        """
        name = self._named(queue)
        entries: list[Entry] = []
        with sending(name) as push:
            for number, (task_type, payload) in enumerate(tasks, start=1):
                entries.append(self._entry(task_type, payload, None, carrier=push.carrier))
                if number % _ENCODED_AT_ONCE == 0:
                    await asyncio.sleep(0)
            push.tell_batch(len(entries))
            await self._push(name, entries)
        return [entry.task_id for entry in entries]

    async def get_queue_length(self, queue: str | None = None) -> int:
        """Return how many tasks wait in a queue; cancelled, it leaves nothing behind.

        Raises:
            ServerUnreachableError: the server is out of reach.
            RequestRefusedError: the server refused it, say because the key is no list.
        """
        name = self._named(queue)
        session = await self._open()
        return int(await session.ask(f"tell the length of {name}", "LLEN", name))

    async def get_task_result(
        self,
        task_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the contract's
    ) -> dict[str, Any]:
        """Return a task's result as soon as there is one, whether it came before or comes later.

        Results expire an hour after their task's end. Once connected, it waits through lost
        connections and restarts of the server. Cancelled, it leaves no subscription behind.

        Args:
            task_id: the task.
            timeout: how long to wait, in seconds; 0 looks once; None waits for ever.

        Raises:
            ResultTimeoutError: there is none in time; a `TimeoutError`.
            ServerUnreachableError: the server was out of reach from the start.
            RequestRefusedError: the server denies us the right to read or subscribe.
            UnreadableResultError: what lies there is no result.
            QueueClosedError: the queue was closed meanwhile.
        """
        check_id(task_id)
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout}, expected seconds of 0 or more, or None")
        key = keys.result(task_id)
        if timeout == 0:
            found = await (await self._open()).ask("tell results", "GET", key)
            if found is None:
                raise ResultTimeoutError(task_id, timeout)
            return _decode(task_id, key, found)
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                raw = await (await self._open()).waiters.wait(key)
        except TimeoutError:
            if timeout is None or not scope.expired():
                raise
            trouble = self._session.waiters.trouble if self._session else None
            raise ResultTimeoutError(task_id, timeout, trouble) from None
        return _decode(task_id, key, raw)

    async def get_task(self, task_id: str, *, queue: str | None = None) -> TaskState:
        """Tell where a task is; cancelled, it leaves nothing behind.

        It is looked for among what waits, in BRAiN's queues and those that living workers serve:
        half a thousand tasks to a call of about a millisecond.

        Args:
            task_id: the task.
            queue: where it may be too.

        Raises:
            ServerUnreachableError: the server is out of reach.
            RequestRefusedError: the server refused to tell.
        """
        check_id(task_id)
        session = await self._open()
        named = (self._queue,) if queue is None else (self._queue, self._named(queue))
        return await find_task(session, task_id, await queue_names(session, named))

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task that waits, is delayed or runs; return whether it is cancelled now.

        It is answered at once, with `success` false and the `error_type` "Cancelled", and isn't
        run any more: its body is dropped when its turn comes. A running handler is cancelled within
        a second. It isn't looked for first, so an id that was never pushed is cancelled as well,
        and a task that is pushed under it later is dropped. Cancelled itself, it may have done so
        or not, and can be repeated.

        Args:
            task_id: the task.

        Returns:
            False if it was answered before; that answer stands.

        Raises:
            ServerUnreachableError: the connection failed; it may be cancelled or not. It is safe to
                try again.
            RequestRefusedError: the server refused it.
        """
        check_id(task_id)
        answer = encode_result(cancelled_result(task_id, self._sources.now()))
        session = await self._open()
        outcome = await session.run(
            f"cancel task {task_id}",
            partial(producer_scripts.cancel, task_id=task_id, answer=answer),
        )
        return outcome != 0

    async def pause(self, queue: str) -> bool:
        """Let no worker take from a queue any more; return whether that changed something.

        What runs goes on, producers may go on to push. It may be repeated.

        Raises:
            ServerUnreachableError: the connection failed; the queue may be paused or not.
            RequestRefusedError: the server refused it.
        """
        return await self._pause(queue, on=True)

    async def resume(self, queue: str) -> bool:
        """Let workers take from a queue again; return whether that changed something.

        Raises:
            ServerUnreachableError: the connection failed; the queue may be paused or not.
            RequestRefusedError: the server refused it.
        """
        return await self._pause(queue, on=False)

    async def _pause(self, queue: str, *, on: bool) -> bool:
        name, session = self._named(queue), await self._open()
        verb = "pause" if on else "resume"
        return await session.run(
            f"{verb} {name}", lambda call: producer_scripts.pause(call, name, on=on)
        )

    def _named(self, queue: str | None) -> str:
        name = self._queue if queue is None else queue
        check_queue(name)
        return name

    def _entry(
        self,
        task_type: str,
        payload: Mapping[str, Any],
        task_id: str | None,
        terms: Terms = NO_TERMS,
        carrier: Carrier = NO_CARRIER,
    ) -> Entry:
        chosen = self._sources.new_id() if task_id is None else task_id
        nonce = self._sources.new_id() if terms.waits else None
        now = self._sources.now()
        most = self._max_task_bytes
        return make_entry(task_type, payload, chosen, now, most, terms, nonce, carrier)

    async def _push(self, queue: str, entries: list[Entry]) -> None:
        if entries:
            await (await self._open()).push(queue, entries)


def _decode(task_id: str, key: str, raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnreadableResultError(task_id, key) from None
