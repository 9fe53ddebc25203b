"""Reading how far a running task is, for producers and people."""

from messages import Progress, decode_progress
from runtime.redis import keys
from runtime.redis.scripts import Call


async def read_progress(call: Call, task_id: str) -> Progress | None:
    """Return what the worker that runs a task has said of it, at most a minute ago.

    A task that has run for less than about half a second isn't told of yet.

    Args:
        call: sends one command's words and returns its reply.
        task_id: the task.

    Returns:
        What was said; None if the task doesn't run, or nothing that can be read was said.
    """
    raw: bytes | None = await call("GET", keys.progress(task_id))
    return None if raw is None else decode_progress(raw)
