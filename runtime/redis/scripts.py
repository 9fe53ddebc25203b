"""Typed calls of the Lua scripts: one function a script, the only place that knows their arguments.

Each script's file says its keys, arguments and reply, and which invariants it keeps.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha1
from importlib.resources import files
from itertools import compress
from math import ceil, inf
from typing import Any, Final, TypeVar

from attrs import frozen
from redis.exceptions import NoScriptError

from actors import Look, Orders, Promoted, Recovery, Recurring, Settled, Settlement, Taken
from actors.settings import MAX_BATCH_BYTES
from messages import DeadLetter
from runtime.redis import keys

Word = str | bytes | int
Call = Callable[..., Awaitable[Any]]
"""Sends one command's words and returns its reply."""

T = TypeVar("T")
Work = Callable[[Call], Awaitable[T]]
"""Makes calls and returns what came of them."""

RESULT_EXPIRES: Final = 3600
"""Seconds; the contract's."""

SETTLED_EXPIRES: Final = 3600
"""Seconds; longer than any packet of a lost connection can be under way."""

LEAD: Final = 1_000
"""Milliseconds for which a holder leads in looking at the delayed tasks."""

DEAD_LETTERS_KEPT: Final = 100_000
"""Dead letters of a queue that are kept, unless it is said otherwise."""

RECURRING_KEPT: Final = 30 * 86_400_000
"""Milliseconds after which a recurring task that no worker declares is forgotten."""

_LONGEST_NUMBER: Final = 16
"""Digits of a saved state's number."""

_STATUSES: Final = {
    ord("D"): Settled.DONE,
    ord("S"): Settled.STALE,
    ord("C"): Settled.CANCELLED,
    ord("F"): Settled.FAILED,
}


@frozen(eq=False)
class Script:
    """A script and the digest under which the server keeps it."""

    name: str
    source: str
    digest: str


@cache
def script(name: str) -> Script:
    """Read a script from its file."""
    source = (files("runtime.redis") / "lua" / f"{name}.lua").read_text()
    # The digest is the server's name for the script, not a protection.
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


async def run(call: Call, name: str, key_names: Sequence[Word], *arguments: Word) -> Any:
    """Run a script, sending its text only if the server doesn't know it (it was restarted)."""
    code = script(name)
    try:
        return await call("EVALSHA", code.digest, len(key_names), *key_names, *arguments)
    except NoScriptError:
        return await call("EVAL", code.source, len(key_names), *key_names, *arguments)


async def read(call: Call, name: str, key_names: Sequence[Word], *arguments: Word) -> Any:
    """Run a script that only reads, as `run` does; who asks needs no right to write its keys."""
    code = script(name)
    try:
        return await call("EVALSHA_RO", code.digest, len(key_names), *key_names, *arguments)
    except NoScriptError:
        return await call("EVAL_RO", code.source, len(key_names), *key_names, *arguments)


async def take(call: Call, queue: str, holder: str, limit: int) -> Taken:
    """Take up to `limit` tasks that wait.

    Raises:
        LeaseLapsedError: the holder owns no lease.
    """
    names = (
        queue,
        keys.inflight(queue, holder),
        keys.leases(queue),
        keys.CANCELLED,
        keys.paused(queue),
    )
    reply: list[Any] = await run(call, "take", names, holder, limit, MAX_BATCH_BYTES)
    return Taken(tuple(reply[1:]), bool(reply[0]))


async def orders(call: Call, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
    """Ask which of the queues are paused, and which of the tasks cancelled."""
    names = (keys.CANCELLED, *map(keys.paused, queues))
    paused, cancelled = await run(call, "orders", names, *map(keys.result, task_ids))
    return Orders(
        paused=frozenset(compress(queues, paused)),
        cancelled=frozenset(compress(task_ids, cancelled)),
    )


async def settle(  # noqa: PLR0913, PLR0917 - what is settled, whose, and a figure
    call: Call,
    queue: str,
    holder: str,
    number: int,
    batch: Sequence[Settlement],
    kept: int = DEAD_LETTERS_KEPT,
) -> tuple[list[Settled], str, int]:
    """End held tasks, and keep `kept` dead letters at most.

    Returns:
        What became of each, the server's first refusal in words, and how many dead letters made
        room for newer ones.
    """
    names: list[Word] = [
        keys.inflight(queue, holder),
        keys.settled(queue, holder),
        keys.dead(queue),
        keys.delayed(queue),
        keys.saved(queue),
        keys.CANCELLED,
        keys.trimmed(queue),
    ]
    words: list[Word] = [
        number,
        RESULT_EXPIRES,
        keys.RESULTS_CHANNEL,
        SETTLED_EXPIRES,
        kept,
        *keys.RESULT_ID,
    ]
    for one in batch:
        mark = "" if one.task_id is None else keys.result(one.task_id)
        if one.delay is not None:
            words += (one.raw, "D", mark, one.delay.body, *due(one.delay.after, one.delay.at))
        elif one.dead is not None:
            words.append(one.raw)
            _append_letter(names, words, one, one.dead)
        elif one.result is not None:
            names.append(mark)
            words += (one.raw, "A", one.result)
        else:
            words += (one.raw, "X", mark)
    statuses, refusal, trimmed = await run(call, "settle", names, *words)
    return [_STATUSES[status] for status in statuses], refusal.decode(errors="replace"), trimmed


def _append_letter(
    names: list[Word], words: list[Word], ending: Settlement, letter: DeadLetter
) -> None:
    fields = letter.fields()
    words += ("L", len(fields), *fields, ending.result or "")
    if ending.result is not None and ending.task_id is not None:
        names.append(keys.result(ending.task_id))


def due(after: float | None, at: datetime | None) -> tuple[str, int]:
    """Return a moment as scripts take it: from now on, or absolute, in whole ms and never early."""
    if at is not None:
        return "@", ceil(at.timestamp() * 1000)
    return "+", ceil((after or 0) * 1000)


async def promote(call: Call, queue: str, holder: str, limit: int) -> Promoted:
    """Move due tasks to the tail of their queue, if the holder leads."""
    names = (keys.delayed(queue), queue, keys.promoter(queue))
    leads, moved, left = await run(call, "promote", names, holder, LEAD, limit)
    return Promoted(bool(leads), moved, inf if left < 0 else left / 1000)


async def release(
    call: Call, queue: str, holder: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes]
) -> int:
    """Put held tasks back to the head of their queue; return how many were held."""
    names = (queue, keys.inflight(queue, holder))
    words: list[Word] = []
    for raw in raws:
        words += (raw, bodies.get(raw, b""))
    count: int = await run(call, "release", names, *words)
    return count


async def save(  # noqa: PLR0913, PLR0917 - the parts of a save
    call: Call, queue: str, holder: str, raw: bytes, task_id: str, state: bytes
) -> int:
    """Keep a held task's state; return its number, or 0 if the holder doesn't hold the task."""
    names = (keys.inflight(queue, holder), keys.saved(queue))
    number: int = await run(call, "save", names, raw, task_id, state)
    return number


async def saved(call: Call, queue: str, task_id: str) -> tuple[int, bytes] | None:
    """Read the number and the state that were saved last for a task; None if none can be read."""
    value: bytes | None = await call("HGET", keys.saved(queue), task_id)
    number, _, state = (value or b"").partition(b" ")
    sound = number.isdigit() and len(number) <= _LONGEST_NUMBER and state
    return (int(number), state) if sound else None


async def saved_numbers(call: Call, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
    """Read the numbers of the states of these tasks, of those that have one."""
    found: list[int] = await run(call, "saved_numbers", (keys.saved(queue),), *task_ids)
    return {task_id: number for task_id, number in zip(task_ids, found, strict=False) if number}


async def report(
    call: Call, progress: Mapping[str, bytes], over: Mapping[str, bytes], expires: float
) -> None:
    """Store what is known of running tasks for `expires` seconds, and remove what was stored."""
    names = [keys.progress(task_id) for task_id in (*progress, *over)]
    bodies = (*progress.values(), *over.values())
    await run(call, "report", names, int(expires * 1000), len(progress), *bodies)


async def held(call: Call, queue: str, holder: str) -> list[bytes]:
    """Read what a holder holds, oldest first."""
    listed: list[bytes] = await call("LRANGE", keys.inflight(queue, holder), 0, -1)
    return listed


async def renew(call: Call, queue: str, holder: str, pulse: int, slots: int) -> bool:
    """Renew a lease; return whether it was there."""
    names = (keys.leases(queue), keys.holders(queue))
    return bool(await run(call, "renew", names, holder, f"{pulse} {slots}"))


async def look(call: Call, queue: str) -> Look:
    """Look at all holders of a queue."""
    names = (keys.leases(queue), keys.holders(queue))
    leases, unleased = await run(call, "look", names, keys.inflight(queue, ""))
    values = {
        holder.decode(errors="replace"): value.decode()
        for holder, value in zip(leases[::2], leases[1::2], strict=True)
    }
    return Look(
        leases=values,
        slots={holder: int(value.partition(" ")[2] or 0) for holder, value in values.items()},
        unleased={
            holder.decode(errors="replace"): bool(owns)
            for holder, owns in zip(unleased[::2], unleased[1::2], strict=True)
        },
    )


async def reclaim(  # noqa: PLR0913, PLR0917 - what is recovered, whose, and a figure
    call: Call,
    queue: str,
    holder: str,
    pulse: str | None,
    recoveries: Sequence[Recovery],
    kept: int = DEAD_LETTERS_KEPT,
) -> tuple[int, int]:
    """Recover a dead holder's last tasks, and keep `kept` dead letters at most.

    Returns:
        How many were recovered, and how many dead letters made room for newer ones.
    """
    names: list[Word] = [
        queue,
        keys.inflight(queue, holder),
        keys.leases(queue),
        keys.dead(queue),
        keys.saved(queue),
        keys.CANCELLED,
        keys.trimmed(queue),
    ]
    words: list[Word] = [
        holder,
        pulse or "",
        RESULT_EXPIRES,
        keys.RESULTS_CHANNEL,
        kept,
        *keys.RESULT_ID,
    ]
    for one in recoveries:
        words.append(one.raw)
        if one.bury is not None and one.bury.dead is not None:
            _append_letter(names, words, one.bury, one.bury.dead)
        else:
            words += ("Q", one.raw if one.requeue is None else one.requeue)
    recovered, trimmed = await run(call, "reclaim", names, *words)
    return recovered, trimmed


async def forget(call: Call, queue: str, holder: str) -> bool:
    """Drop a holder that owns neither a lease nor a task."""
    names = (keys.leases(queue), keys.holders(queue), keys.inflight(queue, holder))
    return bool(await run(call, "forget", names, holder))


async def leave(call: Call, queue: str, holder: str) -> bool:
    """Give a lease back; return whether nothing is left of the holder."""
    names = (
        keys.leases(queue),
        keys.holders(queue),
        keys.inflight(queue, holder),
        keys.settled(queue, holder),
    )
    return bool(await run(call, "leave", names, holder))


async def beat(call: Call, worker_id: str, body: bytes, expires: float) -> None:
    """Store a heartbeat for `expires` seconds."""
    await run(call, "beat", (keys.heartbeat(worker_id),), "SET", body, int(expires * 1000))


async def stop_beating(call: Call, worker_id: str, body: bytes) -> None:
    """Remove the heartbeat, if it is still ours."""
    await run(call, "beat", (keys.heartbeat(worker_id),), "DEL", body)


async def recurring(call: Call, queue: str, names: Sequence[str]) -> Recurring:
    """Look how far recurring tasks have been fired, and note that they are declared."""
    words = (keys.recurring(queue),)
    now, *fired = await run(call, "recurring", words, RECURRING_KEPT, *names)
    found = {name: None if upto < 0 else upto for name, upto in zip(names, fired, strict=True)}
    return Recurring(now, found)


async def fire(  # noqa: PLR0913, PLR0917 - the parts of a firing
    call: Call, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
) -> bool:
    """Push a recurring task's tasks, unless another worker was first; return whether it did."""
    names = (keys.recurring(queue), queue)
    before = -1 if fired is None else fired
    return bool(await run(call, "fire", names, name, before, upto, *bodies))
