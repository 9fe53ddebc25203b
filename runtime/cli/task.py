"""Tells where a task is."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Final, assert_never

from attrs import asdict
from cyclopts import Parameter

from runtime.cli.orders import OrderOptions
from runtime.task_state import (
    TaskAnswered,
    TaskCancelled,
    TaskDead,
    TaskDelayed,
    TaskRunning,
    TaskState,
    TaskUnknown,
    TaskWaiting,
)

_FOUND: Final = 0
_UNKNOWN: Final = 1
_DEFAULTS: Final = OrderOptions()


def task(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *,
    queue: Annotated[str | None, Parameter(metavar="NAME")] = None,
    options: OrderOptions = _DEFAULTS,
) -> int:
    """Tell where a task is: waiting, delayed, running, dead, cancelled, answered, or nowhere.

    Exit codes: 0 it is somewhere, 1 nowhere, 2 wrong use.

    Args:
        id_: The task's id.
        queue: A queue to look at beside BRAiN's and those that living workers serve.
        options: where.
    """
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import place  # noqa: PLC0415

    url = place.find(options.redis_url, options.data_dir)
    found = asyncio.run(_find(url, id_, queue))
    if options.as_json:
        print(json.dumps(as_json(found), ensure_ascii=False, indent=2))  # noqa: T201 - the command line's
    else:
        sys.stdout.write(sentence(found, datetime.now(UTC)) + "\n")
    return _UNKNOWN if isinstance(found, TaskUnknown) else _FOUND


async def _find(url: str, task_id: str, queue: str | None) -> TaskState:
    from runtime.task_queue import TaskQueue  # noqa: PLC0415 - as above

    async with TaskQueue(url) as tasks:
        return await tasks.get_task(task_id, queue=queue)


def as_json(found: TaskState) -> dict[str, Any]:
    """Return a state as JSON; `state` says which."""
    fields = {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in asdict(found).items()
    }
    return {"state": type(found).__name__.removeprefix("Task").lower(), **fields}


def sentence(found: TaskState, now: datetime) -> str:
    """Say a state in words.

    Args:
        found: the state.
        now: this machine's time.
    """
    match found:
        case TaskWaiting(_, queue, attempt):
            said = f"waits in {queue}{_attempt(attempt)}"
        case TaskDelayed(_, queue, until, attempt, error):
            left = max(0.0, (until - now).total_seconds())
            why = f"; the attempt before failed: {error}" if error else ""
            said = f"waits for {queue} for another {left:.1f} s{_attempt(attempt)}{why}"
        case TaskRunning():
            said = f"is with worker {found.worker_id}{_running(found, now)}"
        case TaskDead(_, queue, entry, reason, error, since):
            said = f"is a dead letter of {queue} ({entry}) since {since}: {reason}: {error}"
        case TaskCancelled():
            said = "was cancelled"
        case TaskAnswered(_, result):
            how = "succeeded" if result.get("success") else "failed"
            said = f"{how}; its answer is of {result.get('timestamp', 'an unknown time')}"
        case TaskUnknown():
            said = "is nowhere: it was never pushed, or its answer has expired"
        case _:
            assert_never(found)
    return f"Task {found.task_id} {said}."


def _running(found: TaskRunning, now: datetime) -> str:
    if found.since is None:
        return f", from {found.queue}{_attempt(found.attempt)}"
    took = max(0.0, (now - found.since).total_seconds())
    done = "" if found.done is None else f", {found.done:g}"
    total = "" if found.total is None else f" of {found.total:g}"
    ready = f"{done}{total} done" if done else ""
    return f", from {found.queue}, and has run for {took:.1f} s{_attempt(found.attempt)}{ready}"


def _attempt(number: int) -> str:
    return f", attempt {number}" if number > 1 else ""
