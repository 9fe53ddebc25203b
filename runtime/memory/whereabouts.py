"""Where a task is, in memory: what `runtime.whereabouts` finds out on a server."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

import msgspec

from messages import MessageError, Task, decode_progress, decode_task
from runtime.memory.queue_state import QueueState
from runtime.memory.store import MemoryStore
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


def find_task(store: MemoryStore, task_id: str, now: float) -> TaskState:
    """Look for a task.

    Args:
        store: where.
        task_id: its id.
        now: seconds of the store's clock.
    """
    answer = store.result(task_id, now)
    result = None if answer is None else msgspec.json.decode(answer, type=dict[str, object])
    if task_id in store.cancelled or (result is not None and _is_cancelled(result)):
        return TaskCancelled(task_id)
    found = [
        one for name, state in store.queues.items() for one in _in(store, name, state, task_id, now)
    ]
    dead = next((one for one in found if isinstance(one, TaskDead)), None)
    if result is not None:
        return TaskAnswered(task_id, result) if result["success"] or dead is None else dead
    return found[0] if found else TaskUnknown(task_id)


def _is_cancelled(result: dict[str, object]) -> bool:
    return not result["success"] and not result["worker_id"]


def _in(
    store: MemoryStore, queue: str, state: QueueState, task_id: str, now: float
) -> Iterator[TaskState]:
    """Go through all places of a queue in which a task is."""
    for task in _of(task_id, state.delayed):
        due = next(due for raw, due in state.delayed.items() if _task(raw) == task)
        error = task.errors[-1].error if task.errors else None
        until = store.wall() + timedelta(seconds=due - now)
        yield TaskDelayed(task_id, queue, until, task.attempt, error)
    for task in _of(task_id, state.waiting):
        yield TaskWaiting(task_id, queue, task.attempt)
    for holder, raws in state.inflight.items():
        for task in _of(task_id, raws):
            raw = store.notes.progress_of(task_id, now)
            told = None if raw is None else decode_progress(raw)
            yield running(task_id, queue, holder, task.attempt, told)
    for letter in reversed(state.dead):
        if letter.task_id == task_id:
            since = letter.time.isoformat().replace("+00:00", "Z")
            yield TaskDead(task_id, queue, "", letter.reason.value, letter.error, since)


def _of(task_id: str, raws: Iterable[bytes]) -> list[Task]:
    tasks = (_task(raw) for raw in raws)
    return [task for task in tasks if task is not None and task.id == task_id]


def _task(raw: bytes) -> Task | None:
    try:
        return decode_task(raw)
    except MessageError:
        return None
