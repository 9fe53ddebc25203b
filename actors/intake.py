"""Where held tasks enter the worker: from the fetcher's hands into the channels, and back.

Keeps the ledger and knows how long the oldest delivery has waited for an executor.

A suspect, a task with two deaths, enters alone: a task that kills its worker then kills nobody
else's, and its neighbours aren't counted the death (I7). While it is there, or is to come, nothing
else enters.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import frozen

from actors.ledger import Ledger
from actors.recovery import is_suspect
from actors.settings import WorkerSettings
from actors.state import WorkerState
from messages import (
    Cancelled,
    Delivery,
    MalformedTaskError,
    Outcome,
    Reason,
    Rejected,
    Undecodable,
    decode_task,
)
from messages.redaction import redact

_OUR_SHARE: Final = 64 * 1024
"""Bytes by which a body may grow: the errors of ten attempts, 500 characters each, and counts."""


@frozen(eq=False)
class Channels:
    """The ends of channels that the fetcher holds.

    Attributes:
        deliveries: to the executors.
        unbegun: the executors' end of it, to take back what none has begun.
        outcomes: to the publisher, for bodies that are no tasks.
    """

    deliveries: MemoryObjectSendStream[Delivery]
    unbegun: MemoryObjectReceiveStream[Delivery]
    outcomes: MemoryObjectSendStream[Outcome]


class Intake:
    """The entrance.

    Args:
        channels: where deliveries go.
        state: counts them.
        ledger: knows what is held.
        settings: bounds and patience.
    """

    def __init__(
        self, channels: Channels, state: WorkerState, ledger: Ledger, settings: WorkerSettings
    ) -> None:
        self._channels = channels
        self._state = state
        self._ledger = ledger
        self._settings = settings
        self._closed = False
        self._quiet = False
        self._number = 0
        # (deliveries put up to here, when they were put): the age of the oldest unbegun one.
        self._puts: deque[tuple[int, float]] = deque()

    def __repr__(self) -> str:
        return f"Intake({self._state.buffered} wait)"

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be taken until nothing is held any more."""
        if self._quiet and len(self._ledger) == 0:
            self._quiet = False
        return self._quiet

    def accept(
        self, queue: str, raws: Sequence[bytes], cancelled: frozenset[str] = frozenset()
    ) -> Sequence[bytes]:
        """Send held bodies on: tasks to the executors, what can't be run to the publisher.

        Once stopped it sends nothing on: what is held and not known is given back at the end.

        Args:
            queue: where they come from.
            raws: the bodies, oldest first.
            cancelled: ids of tasks that aren't to be run any more.

        Returns:
            What is to be given back at once, in its order: suspects that can't be alone now, and
            what came beside one that is.
        """
        if not raws or self._closed:
            return ()
        if self.quiet:
            return raws
        now = anyio.current_time()
        aside: list[bytes] = []
        for place, raw in enumerate(raws):
            self._number += 1
            decoded = self._decode(queue, raw, now)
            if cancelled and _delivery_of(decoded).task_id in cancelled:
                self._ledger.add(queue, raw)
                self._channels.outcomes.send_nowait(Cancelled(_delivery_of(decoded)))
                continue
            if isinstance(decoded, Delivery) and decoded.task.deaths and is_suspect(decoded.task):
                self._quiet = True
                if len(self._ledger):
                    aside.append(raw)
                    continue
                self._ledger.add(queue, raw)
                self._send(decoded, now)
                return raws[place + 1 :]
            self._ledger.add(queue, raw)
            if isinstance(decoded, Delivery):
                self._channels.deliveries.send_nowait(decoded)
                self._state.put += 1
            else:
                self._channels.outcomes.send_nowait(decoded)
        self._puts.append((self._state.put, now))
        self._state.idle.wake_one()
        return aside

    def _send(self, delivery: Delivery, now: float) -> None:
        self._channels.deliveries.send_nowait(delivery)
        self._state.put += 1
        self._puts.append((self._state.put, now))
        self._state.idle.wake_one()

    def _decode(self, queue: str, raw: bytes, now: float) -> Delivery | Rejected:
        try:
            task = decode_task(raw)
        except MalformedTaskError as error:
            undecodable = Undecodable(error, raw, queue)
            return Rejected(undecodable, None, Reason.MALFORMED, redact(str(error)))
        delivery = Delivery(task, raw, queue, self._number, now)
        most = self._settings.max_task_bytes
        if len(raw) > most and (
            # A task may not become too large by what we write into it ourselves.
            len(raw) > most + _OUR_SHARE or not (task.errors or task.deaths or task.saved)
        ):
            why = f"the body has {len(raw)} bytes, the most is {most}"
            return Rejected(delivery, None, Reason.TOO_LARGE, why)
        return delivery

    def ids(self, raws: Sequence[bytes]) -> list[str]:
        """Return the ids of bodies, where one can be read."""
        found = (_delivery_of(self._decode("", raw, 0.0)).task_id for raw in raws)
        return [task_id for task_id in found if task_id is not None]

    def patience_left(self, now: float) -> float:
        """Return for how long the oldest unbegun delivery may still wait."""
        puts = self._puts
        while puts and puts[0][0] <= self._state.begun:
            puts.popleft()
        return puts[0][1] + self._settings.patience - now if puts else float("inf")

    def withdraw(self) -> dict[str, list[bytes]]:
        """Take back from the channel what no executor has begun, oldest first, by queue.

        It is struck from the ledger now: if the reply to giving it back is lost, the audit
        adopts what wasn't given back.
        """
        unbegun: dict[str, list[bytes]] = {}
        while True:
            try:
                delivery = self._channels.unbegun.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                break
            self._state.put -= 1
            self._ledger.discard(delivery.queue, delivery.raw)
            unbegun.setdefault(delivery.queue, []).append(delivery.raw)
        self._puts.clear()
        return unbegun

    def close(self) -> None:
        """Send nothing on any more; idle executors end."""
        self._closed = True
        self._channels.deliveries.close()
        self._state.idle.wake_all()

    def end(self) -> None:
        """Close all that is left open."""
        self.close()
        self._channels.unbegun.close()
        self._channels.outcomes.close()


def _delivery_of(decoded: Delivery | Rejected) -> Delivery | Undecodable:
    return decoded if isinstance(decoded, Delivery) else decoded.delivery
