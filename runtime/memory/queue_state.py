"""What the in-memory store keeps beside one queue: plain values."""

from collections import deque

from attrs import field, frozen

from actors import Settled
from messages import DeadLetter
from runtime.memory.expiring import Expiring
from runtime.memory.recurring import RecurringTasks


@frozen(eq=False)
class Batch:
    """What is remembered of a holder's last batch of settlements.

    Attributes:
        number: grows with each batch.
        statuses: what was answered.
        until: when it is forgotten.
    """

    number: int
    statuses: tuple[Settled, ...]
    until: float


@frozen(eq=False)
class QueueState:
    """All that lies beside one queue.

    Attributes:
        waiting: the queue itself, the head first.
        inflight: holder → what it holds, oldest first; no empty lists.
        leases: holder → `<pulse> <slots>`.
        holders: holder → when it last renewed.
        settled: holder → its last batch.
        dead: dead letters, oldest first.
        delayed: body → when it is due, in seconds of the store's clock.
        pushed: ids of tasks that were pushed not long ago and are to be unique.
        trimmed: how many dead letters made room for newer ones, as the only item.
        paused: since when nothing is taken, in seconds of the store's clock, as at most one item.
        promoter: who looks at the delayed tasks, as the value of at most one entry.
        recurring: name of a recurring task → how far it was fired.
    """

    waiting: deque[bytes] = field(factory=deque)
    inflight: dict[str, list[bytes]] = field(factory=dict)
    leases: dict[str, str] = field(factory=dict)
    holders: dict[str, float] = field(factory=dict)
    settled: dict[str, Batch] = field(factory=dict)
    dead: list[DeadLetter] = field(factory=list)
    delayed: dict[bytes, float] = field(factory=dict)
    promoter: dict[str, Expiring] = field(factory=dict)
    pushed: dict[str, Expiring] = field(factory=dict)
    trimmed: list[int] = field(factory=lambda: [0])
    paused: list[float] = field(factory=list)
    recurring: RecurringTasks = field(factory=RecurringTasks)

    def put_inflight(self, holder: str, raws: list[bytes]) -> None:
        """Set what a holder holds; an empty list is none, as on a server."""
        if raws:
            self.inflight[holder] = raws
        else:
            self.inflight.pop(holder, None)
