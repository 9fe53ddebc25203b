"""Whether a task that failed is tried again, and when: a plain function, from values to values."""

from typing import Final

from attrs import frozen

from actors.control import Backoff, Retry
from actors.handler import Handler
from messages import Task

_DEFAULT: Final = Backoff()

_LONGEST: Final = 31_536_000.0
"""Seconds; a year."""


@frozen
class Decision:
    """What follows a failed attempt.

    Attributes:
        attempts: how many runs the task has in all.
        after: seconds until the next one, or None if this was the last.
    """

    attempts: int
    after: float | None


def decide(task: Task, handler: Handler, error: BaseException | None, draw: float) -> Decision:
    """Decide what follows a failed attempt (I7).

    The number of attempts is the task's own, or else the handler's, or else the default's.

    Args:
        task: what failed; its `attempt` is the run that did.
        handler: says how it is retried.
        error: what it raised, if it raised something. A `Retry` may say after how many seconds.
        draw: a random number from 0 up to 1.
    """
    backoff = handler.retry or _DEFAULT
    attempts = task.max_attempts or backoff.attempts
    if task.attempt >= attempts:
        return Decision(attempts, None)
    if isinstance(error, Retry) and error.after is not None:
        return Decision(attempts, min(max(0.0, float(error.after)), _LONGEST))
    return Decision(attempts, draw * longest_wait(backoff, task.attempt))


def longest_wait(backoff: Backoff, attempt: int) -> float:
    """Return the bound of the wait after an attempt, in seconds."""
    try:
        return min(backoff.cap, backoff.base * backoff.factor ** (attempt - 1))
    except OverflowError:
        return backoff.cap
