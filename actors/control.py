"""What a handler raises to steer its task, and what paces a task that failed."""

from attrs import field, frozen
from attrs.validators import ge, gt


class Reject(Exception):  # noqa: N818 - a handler's verdict, not an error of the pool
    """The task can't be done, now or ever: it becomes a dead letter and its producer is told.

    Args:
        why: one sentence for the producer and for the operator.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@frozen(slots=False, eq=False)
class Retry(Exception):  # noqa: N818 - a handler's wish, not an error of the pool
    """The task can't be done now; another attempt follows, if there is one left.

    Attributes:
        why: one sentence for the producer and for the operator.
        after: seconds from now at which it may be tried again; by default the handler's `Backoff`.
    """

    why: str = "the handler asked for another attempt"
    after: float | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        return self.why


@frozen
class Backoff:
    """How often, and after which waits, a task is tried.

    The waits are drawn evenly between 0 and a bound that grows exponentially ("full jitter"), so
    that tasks which failed together don't come back together.

    Attributes:
        attempts: runs in all, the first included.
        base: seconds before the second run, at most.
        factor: by which each further wait grows.
        cap: seconds that no wait exceeds.
    """

    attempts: int = field(default=3, validator=ge(1))
    base: float = field(default=1.0, validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    cap: float = field(default=300.0, validator=gt(0))
