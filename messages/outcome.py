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
    """The handler failed for good: it raised, ran out of time, or returned what isn't JSON."""

    delivery: Delivery
    run: Run
    error: str
    error_type: str


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


Outcome = Succeeded | Failed | Rejected | Released
