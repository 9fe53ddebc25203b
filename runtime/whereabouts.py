"""Finds out where a task is, without an index that each task would have to pay for.

A task moves while one looks for it: from the delayed ones to its queue, from there to a worker, and
then it is answered. So it is looked for in that order, and again if it was nowhere.

Bodies are searched for the id on the server, a part at a time; one that has it is decoded here.
"""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import anyio
import msgspec

from messages import MessageError, Task, decode_task
from messages.result import CANCELLED
from runtime.producer_session import Session
from runtime.progress import read_progress
from runtime.redis import keys, producer_scripts
from runtime.task_state import (
    TaskAnswered,
    TaskCancelled,
    TaskDead,
    TaskDelayed,
    TaskState,
    TaskUnknown,
    TaskWaiting,
    running,
)

_AT_ONCE: Final = 500
"""Bodies that one call looks at: about a millisecond of the server's time, if they are small."""

_ROUNDS: Final = 3
"""A task that was nowhere is looked for again: it may have moved from where one hadn't looked yet
to where one had, as a retry does."""

_PLAIN: Final = re.compile(r"[0-9A-Za-z_.:@#-]+")
"""Ids that stand in a body as they are. Others may be escaped there, in more than one way."""

_BEGINS: Final = 0.8
"""Seconds within which a worker tells of a task that it has begun."""

_LOOK: Final = 0.1
"""Seconds between looks whether it has."""


async def find_task(session: Session, task_id: str, queues: Sequence[str]) -> TaskState:
    """Look for a task.

    Args:
        session: the way to the server.
        task_id: its id.
        queues: where it may be.

    Raises:
        ServerUnreachableError: the server is out of reach.
        RequestRefusedError: it refused to tell.
    """
    search = _Search(session, task_id)
    for _ in range(_ROUNDS):
        found = await search.once(queues)
        if found is not None:
            return found
    return TaskUnknown(task_id)


class _Search:
    def __init__(self, session: Session, task_id: str) -> None:
        self._session = session
        self._id = task_id
        self._text = task_id if _PLAIN.fullmatch(task_id) else ""

    async def once(self, queues: Sequence[str]) -> TaskState | None:
        ended = await self._ended(queues)
        if ended is not None:
            return ended
        for look in (self._delayed, self._waiting, self._held, self._dead):
            for queue in queues:
                found = await look(queue)
                if found is not None:
                    return found
        return await self._ended(queues)

    async def _ended(self, queues: Sequence[str]) -> TaskState | None:
        """Look for an answer, or for the mark of one that has expired."""
        key, request = keys.result(self._id), "tell results"
        if await self._session.ask(request, "ZSCORE", keys.CANCELLED, key) is not None:
            return TaskCancelled(self._id)
        result = _object(await self._session.ask(request, "GET", key))
        if result is None:
            return None
        if _is_cancelled(result):
            return TaskCancelled(self._id)
        if not result.get("success"):
            for queue in queues:
                if (dead := await self._dead(queue)) is not None:
                    return dead
        return TaskAnswered(self._id, result)

    async def _delayed(self, queue: str) -> TaskState | None:
        async for task, score in self._bodies(keys.delayed(queue), "ZSET"):
            until = datetime.fromtimestamp(float(score) / 1000, UTC)
            error = task.errors[-1].error if task.errors else None
            return TaskDelayed(self._id, queue, until, task.attempt, error)
        return None

    async def _waiting(self, queue: str) -> TaskState | None:
        async for task, _ in self._bodies(queue, "LIST"):
            return TaskWaiting(self._id, queue, task.attempt)
        return None

    async def _held(self, queue: str) -> TaskState | None:
        request = f"tell who holds tasks of {queue}"
        for name in await self._session.ask(request, "ZRANGE", keys.holders(queue), "0", "-1"):
            holder = name.decode(errors="replace")
            async for task, _ in self._bodies(keys.inflight(queue, holder), "LIST"):
                return await self._running(queue, holder, task)
        return None

    async def _running(self, queue: str, holder: str, task: Task) -> TaskState:
        """Tell of a held task what its worker tells of it, which may come in a moment."""
        look, told = partial(read_progress, task_id=self._id), None
        with anyio.move_on_after(_BEGINS):
            while True:
                told = await self._session.run("tell progress", look)
                if told is not None and told.attempt == task.attempt:
                    break
                if (ended := await self._ended((queue,))) is not None:
                    return ended
                await anyio.sleep(_LOOK)
        return running(self._id, queue, holder, task.attempt, told)

    async def _dead(self, queue: str) -> TaskState | None:
        start = "+"
        while True:
            search = partial(
                producer_scripts.find_dead,
                queue=queue,
                task_id=self._id,
                start=start,
                count=_AT_ONCE,
            )
            last, *found = await self._session.run(f"read {keys.dead(queue)}", search)
            if found:
                entry, reason, error, time = (part.decode(errors="replace") for part in found)
                return TaskDead(self._id, queue, entry, reason, error, time)
            if not last:
                return None
            start = f"({last.decode()}"

    async def _bodies(self, key: str, kind: str) -> AsyncIterator[tuple[Task, bytes]]:
        """Go through the bodies of the task, from the end: what is taken meanwhile is the head."""
        last = -1
        while True:
            search = partial(
                producer_scripts.find,
                key=key,
                kind=kind,
                text=self._text,
                first=last - _AT_ONCE + 1,
                last=last,
            )
            looked, *found = await self._session.run(f"search {key}", search)
            for raw, score in zip(found[::2], found[1::2], strict=True):
                task = _task(raw)
                if task is not None and task.id == self._id:
                    yield task, score
            if looked < _AT_ONCE:
                return
            last -= _AT_ONCE


def _task(raw: bytes) -> Task | None:
    try:
        return decode_task(raw)
    except MessageError:
        return None


def _object(raw: bytes | None) -> dict[str, Any] | None:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_cancelled(result: dict[str, Any]) -> bool:
    """Say whether it is the answer of `cancel`, which no worker gives."""
    detail = result.get("result")
    kind = detail.get("error_type") if isinstance(detail, dict) else None
    return kind == CANCELLED and not result.get("worker_id")
