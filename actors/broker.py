"""What the actors need of a queue server: a Protocol small enough to read in a minute.

A `Broker` is shared; each worker joins it and gets a `Session` of its own, under which it holds
tasks. Every method of a session either happens or doesn't; when it can't be known which, it
raises `UnreachableError`, and the worker looks at what it holds.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import field, frozen

from messages import DeadLetter


class BrokerError(Exception):
    """Base of what a session raises; its text is one sentence for people."""


class UnreachableError(BrokerError):
    """No answer came: the call may have happened or not."""


class RefusedError(BrokerError):
    """The server answered that it won't.

    Nothing happened; but for release and reclaim, where it may have happened to some of the tasks:
    each of them is in one place, and the inflight list tells which.
    """


class LeaseLapsedError(RefusedError):
    """The server knows no lease of this holder, so it may take nothing."""


@frozen
class Member:
    """A worker, as the broker sees it.

    Attributes:
        worker_id: its name for people.
        holder: `<worker_id>#<random per start>`; owns the inflight lists.
        slots: how many tasks it can run at once.
        queues: what it serves.
        running: the tasks that run now, as id of the event loop's task → task id; called from
            another thread, to name the task that blocks the loop.
    """

    worker_id: str
    holder: str
    slots: int
    queues: tuple[str, ...]
    running: Callable[[], Mapping[int, str]] = field(eq=False, default=dict)


@frozen(eq=False)
class Delay:
    """A held task's way to the delayed ones.

    Attributes:
        body: the bytes that will wait there; another body than any that waits there (I8).
        after: seconds from now by the server's clock, or None.
        at: the moment by the server's clock, or None; one of both is given.
    """

    body: bytes
    after: float | None = None
    at: datetime | None = None


@frozen(eq=False)
class Promoted:
    """What became of a look at the delayed tasks.

    Attributes:
        leads: whether this worker is the one that looks; one of all those that serve the queue.
        moved: how many due tasks went to the tail of the queue.
        wait: seconds until the next delayed task is due, inf if there is none; where another
            worker leads, until its lead may have lapsed.
    """

    leads: bool
    moved: int
    wait: float


@frozen
class Taken:
    """What was taken from a queue.

    Attributes:
        raws: the bodies, oldest first.
        marked: whether there are cancelled tasks whose bodies haven't been dropped yet: these may
            be among them, so `Session.orders` has to be asked.
    """

    raws: tuple[bytes, ...] = ()
    marked: bool = False


@frozen
class Orders:
    """What people have ordered.

    Attributes:
        paused: the queues from which nothing is to be taken.
        cancelled: ids of tasks that were cancelled, and answered, and whose bodies are still there.
    """

    paused: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()


@frozen(eq=False)
class Settlement:
    """How one held task ends, here: with an answer or a delay, or by being dropped.

    Attributes:
        raw: the task's bytes in the inflight list.
        task_id: whom to answer, or None if no id could be read.
        result: the answer's JSON, or None if no id could be read, there is a delay, or the task was
            cancelled, and so answered.
        dead: the dead letter to write, or None.
        delay: as what and when the task comes back, or None.
    """

    raw: bytes
    task_id: str | None
    result: bytes | None
    dead: DeadLetter | None = None
    delay: Delay | None = None


class Settled(Enum):
    """What became of a settlement."""

    DONE = "done"
    STALE = "stale"
    """The task was no longer ours: another worker has it, and answers (I2)."""
    CANCELLED = "cancelled"
    """The task was cancelled meanwhile, and so answered: it was dropped (I2)."""
    FAILED = "failed"
    """The server refused this one; it is still held, and can be settled again."""


@frozen
class Look:
    """What the Janitor sees of a queue's holders.

    Attributes:
        leases: holder → its pulse, a value that changes at each renewal.
        slots: holder → how many tasks it can run at once.
        unleased: holders that own no lease → whether they still own tasks.
    """

    leases: Mapping[str, str]
    slots: Mapping[str, int]
    unleased: Mapping[str, bool]


@frozen(eq=False)
class Recovery:
    """What a dead holder's task becomes.

    Attributes:
        raw: its bytes in the dead holder's inflight list.
        requeue: the bytes that go to the head of the queue, or None if it is buried.
        bury: how it ends instead, or None if it is requeued.
    """

    raw: bytes
    requeue: bytes | None = None
    bury: Settlement | None = None


@frozen(eq=False)
class Recurring:
    """How far recurring tasks have been fired.

    Attributes:
        now: the server's time, in ms since the epoch.
        fired: name → the time up to which all its due times have been fired, likewise, or None if
            it is seen for the first time.
    """

    now: int
    fired: Mapping[str, int | None]


class Session(Protocol):
    """One worker's dealings with the server, from joining to leaving."""

    def fresh(self) -> bool:
        """Say whether the lease is known to live, so that a task may be taken or begun."""

    async def lapsed(self) -> None:
        """Wait until the lease is found to have stopped and been renewed."""

    def verified(self) -> None:
        """Say that the worker has compared what it runs with what it still holds."""

    async def take(self, queue: str, limit: int) -> Taken:
        """Take up to `limit` tasks that wait now, oldest first; of a paused queue none."""

    async def wait(self, queues: Sequence[str]) -> list[tuple[str, Taken]]:
        """Wait for a task, and take it; a few seconds at most, and until `wake`."""

    async def orders(self, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
        """Ask which of the queues are paused, and which of the tasks cancelled."""

    def wake(self) -> None:
        """Make a `wait`, under way or to come, return soon."""

    async def held(self, queue: str) -> list[bytes]:
        """Read what this worker holds by the server's account, oldest first."""

    async def settle(self, queue: str, batch: Sequence[Settlement]) -> list[Settled]:
        """End tasks, each wholly or not at all; sent again until an answer comes."""

    async def release(
        self, queue: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes] = {}
    ) -> None:
        """Put held tasks back to the head of their queue, in the order given.

        Args:
            queue: where they came from.
            raws: their bytes in the inflight list.
            bodies: what goes to the queue instead of some of them.
        """

    async def promote(self, queue: str, limit: int) -> Promoted:
        """Move up to `limit` due tasks to the tail of the queue, if this worker leads."""

    async def recurring(self, queue: str, names: Sequence[str]) -> Recurring:
        """Look how far these recurring tasks have been fired, and note that they are declared."""

    async def fire(
        self, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
    ) -> bool:
        """Push a recurring task's tasks, if it was fired up to `fired`; then it is up to `upto`.

        Returns whether that was done; it isn't if another worker was first.
        """

    def cut(self) -> None:
        """Give the server up: calls under way and to come fail at once."""

    async def beat(self, heartbeat: bytes, expires: float) -> None:
        """Store the heartbeat for `expires` seconds."""

    async def look(self, queue: str) -> Look:
        """Look at all holders of a queue."""

    async def inflight(self, queue: str, holder: str) -> list[bytes]:
        """Read what another worker holds, oldest first."""

    async def reclaim(
        self, queue: str, holder: str, pulse: str | None, recoveries: Sequence[Recovery]
    ) -> int:
        """Recover a dead holder's last tasks, if its pulse is still `pulse`; return how many."""

    async def forget(self, queue: str, holder: str) -> None:
        """Drop a holder that owns neither a lease nor a task."""

    async def save(self, queue: str, raw: bytes, task_id: str, state: bytes) -> int:
        """Keep a held task's state until the task is answered; may be sent again.

        Returns:
            Its number, which grows with each state that differs from the one before; 0 if the
            task isn't held by this worker, and then nothing was saved.
        """

    async def saved(self, queue: str, task_id: str) -> tuple[int, bytes] | None:
        """Read the number and the state that were saved last for a task."""

    async def saved_numbers(self, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
        """Read the numbers of the saved states of these tasks, of those that have one."""

    async def report(
        self, progress: Mapping[str, bytes], over: Mapping[str, bytes], expires: float
    ) -> None:
        """Store what is known of running tasks, and remove what was stored of others.

        Args:
            progress: by task id, stored for `expires` seconds.
            over: by task id, what was stored last; it is removed if it is still that.
            expires: seconds.
        """


class Broker(Protocol):
    """A queue server."""

    def join(self, member: Member) -> AbstractAsyncContextManager[Session]:
        """Enter with a lease that is renewed till the end; leaving gives it back."""
