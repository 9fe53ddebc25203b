"""What became of a delivery. Whatever handles an `Outcome` handles every class of it."""

from datetime import datetime

from attrs import frozen

from messages.dead_letter import Reason
from messages.delivery import Delivery, Undecodable


@frozen(eq=False)
class Run:
    """When a handler ran.

    Attributes:
        started_at: UTC.
        duration: seconds that the handler took.
    """

    started_at: datetime
    duration: float


@frozen(eq=False)
class Succeeded:
    """The handler returned.

    Attributes:
        value: what it returned, as the bytes of a JSON object.
    """

    delivery: Delivery
    run: Run
    value: bytes


@frozen(eq=False)
class Failed:
    """The handler failed for good: its last attempt raised, ran out of time, or the like.

    Attributes:
        error: the cause in one sentence.
        error_type: the name of the exception's class.
        traceback: of what was raised, shortened; or empty.
    """

    delivery: Delivery
    run: Run
    error: str
    error_type: str
    traceback: str = ""


@frozen(eq=False)
class Retried:
    """An attempt failed, and another one follows.

    Attributes:
        error: the cause in one sentence.
        error_type: the name of the exception's class.
        after: seconds until the next attempt is due.
    """

    delivery: Delivery
    run: Run
    error: str
    error_type: str
    after: float


@frozen(eq=False)
class Postponed:
    """The task came before its time and waits for it; nothing counted.

    Attributes:
        until: the task's `not_before`, UTC.
    """

    delivery: Delivery
    until: datetime


@frozen(eq=False)
class Rejected:
    """The task can't be run, now or ever: it becomes a dead letter.

    Attributes:
        run: when the handler ran, or None if none did.
    """

    delivery: Delivery | Undecodable
    run: Run | None
    reason: Reason
    error: str


@frozen(eq=False)
class Released:
    """The task wasn't run to its end and goes back to the head of its queue, nothing counted."""

    delivery: Delivery


@frozen(eq=False)
class Cancelled:
    """The task was cancelled, and so answered: it is dropped."""

    delivery: Delivery | Undecodable


Outcome = Succeeded | Failed | Retried | Postponed | Rejected | Released | Cancelled
