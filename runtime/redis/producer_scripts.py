"""Typed calls of the scripts that producers and operators need; `scripts` has the workers'."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Any, Final

from runtime.redis import keys
from runtime.redis.scripts import RESULT_EXPIRES, Call, Word, due, read, run

MARK_KEPT: Final = 400 * 86_400 * 1_000
"""Milliseconds; longer than a task can wait for its time, which is a year."""


async def delay(
    call: Call, queue: str, body: bytes, after: float | None, at: datetime | None
) -> None:
    """Add a producer's task to the delayed ones."""
    await run(call, "delay", (keys.delayed(queue),), body, *due(after, at))


async def push_unique(  # noqa: PLR0913, PLR0917 - the parts of a push
    call: Call,
    queue: str,
    task_id: str,
    body: bytes,
    unique_for: float,
    after: float | None,
    at: datetime | None,
) -> bool:
    """Push a producer's task, or delay it; return whether that was done.

    It isn't if a task of this id was pushed on this queue in the last `unique_for` seconds.
    """
    waits = after is not None or at is not None
    names = (keys.delayed(queue) if waits else queue, keys.unique(queue, task_id))
    when: tuple[Word, Word] = due(after, at) if waits else ("", "")
    return bool(await run(call, "push", names, body, ceil(unique_for * 1000), *when))


async def requeue(call: Call, queue: str, items: Sequence[tuple[str, bytes, str | None]]) -> int:
    """Send dead letters again; return how many were still there.

    Args:
        call: sends one command's words.
        queue: whose dead letters.
        items: the entry's id, the body that goes to the queue, and the task's id if it has one.
    """
    names: list[Word] = [keys.dead(queue), queue, keys.CANCELLED]
    words: list[Word] = []
    for entry, body, task_id in items:
        words += (entry, body, "0" if task_id is None else "1")
        if task_id is not None:
            names.append(keys.result(task_id))
    count: int = await run(call, "requeue", names, *words)
    return count


async def cancel(call: Call, task_id: str, answer: bytes) -> int:
    """Answer a task as cancelled and mark it.

    Returns:
        1 if that was done, 0 if the task was answered before, 2 if it was cancelled before.
    """
    names = (keys.result(task_id), keys.CANCELLED)
    words = (answer, RESULT_EXPIRES, keys.RESULTS_CHANNEL, MARK_KEPT)
    return int(await run(call, "cancel", names, *words))


async def pause(call: Call, queue: str, *, on: bool) -> bool:
    """Pause a queue, or let workers take from it again; return whether that changed something."""
    word = "PAUSE" if on else "RESUME"
    return bool(await run(call, "pause", (keys.paused(queue),), word))


async def find(  # noqa: PLR0913, PLR0917 - where, what, and how much of it
    call: Call, key: str, kind: str, text: str, first: int, last: int
) -> list[Any]:
    """Look for a text in the bodies of those ranks, which are negative, from the end.

    Args:
        call: sends one command's words.
        key: where they lie.
        kind: `LIST` or `ZSET`.
        text: what is looked for; every body has an empty one.
        first: rank of the first body to look at.
        last: rank of the last.

    Returns:
        How many bodies were looked at; then those that have it, each followed by its score.
    """
    found: list[Any] = await read(call, "find", (key,), kind, text, first, last)
    return found


async def find_dead(call: Call, queue: str, task_id: str, start: str, count: int) -> list[bytes]:
    """Look for a task in `count` dead letters, the newest first.

    Returns:
        The last entry that was looked at, or an empty text; then, if the task was found, its
        entry's id, reason, error and time.
    """
    found: list[bytes] = await read(call, "find_dead", (keys.dead(queue),), task_id, start, count)
    return found
