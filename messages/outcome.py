"""What became of a delivery. Whatever handles an `Outcome` handles every class of it."""

from datetime import datetime

from msgspec import Struct

from messages.dead_letter import Reason
from messages.delivery import Delivery, Undecodable


class Run(Struct, frozen=True, eq=False):
    """When a handler ran.

    Attributes:
        started_at: UTC.
        duration: seconds that the handler took.
        waited: seconds from the task's `created_at` to the start, by two machines' clocks: it may
            be negative.
    """

    started_at: datetime
    duration: float
    waited: float


class Succeeded(Struct, frozen=True, eq=False):
    """The handler returned.

    Attributes:
        value: what it returned, as the bytes of a JSON object.
    """

    delivery: Delivery
    run: Run
    value: bytes


class Failed(Struct, frozen=True, eq=False):
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


class Retried(Struct, frozen=True, eq=False):
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


class Postponed(Struct, frozen=True, eq=False):
    """The task came before its time and waits for it; nothing counted.

    Attributes:
        until: the task's `not_before`, UTC.
    """

    delivery: Delivery
    until: datetime


class Rejected(Struct, frozen=True, eq=False):
    """The task can't be run, now or ever: it becomes a dead letter.

    Attributes:
        run: when the handler ran, or None if none did.
    """

    delivery: Delivery | Undecodable
    run: Run | None
    reason: Reason
    error: str


class Released(Struct, frozen=True, eq=False):
    """The task wasn't run to its end and goes back to the head of its queue, nothing counted."""

    delivery: Delivery


class Cancelled(Struct, frozen=True, eq=False):
    """The task was cancelled, and so answered: it is dropped."""

    delivery: Delivery | Undecodable


Outcome = Succeeded | Failed | Retried | Postponed | Rejected | Released | Cancelled
