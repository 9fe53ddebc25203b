"""What `status` finds on a server: queues, the workers that serve them, and what is wrong."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from runtime.cli.queue_views import HolderView, QueueView, look_at, recent_dead
from runtime.cli.rates import Backlogs, answered_rate
from runtime.cli.recurring_views import RecurringView, read_recurring
from runtime.cli.remarks import notes, remarks
from runtime.cli.worker_views import WorkerView, heartbeat_ages, read_held, read_runs, view_of
from runtime.heartbeats import Asks, queues_of, read_heartbeats, read_heartbeats_of, texts

_DISCOVERY: Final = 30.0
"""Seconds between walks through all keys for heartbeats; in between, who holds leases is asked."""


@frozen
class Overview:
    """All of it, with what needs somebody's attention in words.

    Attributes:
        queues: the queues.
        workers: the workers.
        remarks: what is wrong, the worst first.
        recurring: the recurring tasks.
        notes: what is worth knowing and isn't wrong.
        answer_s: how long the slowest answer of the server took, in seconds.
        clock_s: by how many seconds this machine's clock is ahead of the server's.
    """

    queues: tuple[QueueView, ...]
    workers: tuple[WorkerView, ...]
    remarks: tuple[str, ...]
    recurring: tuple[RecurringView, ...] = ()
    notes: tuple[str, ...] = ()
    answer_s: float = 0.0
    clock_s: float = 0.0


class _Timed:
    """Asks, and remembers the longest that an answer took."""

    def __init__(self, session: Asks, greeting_s: float) -> None:
        self._session = session
        self.longest = greeting_s

    async def ask(self, request: str, *words: str) -> Any:
        began = time.monotonic()
        reply = await self._session.ask(request, *words)
        self.longest = max(self.longest, time.monotonic() - began)
        return reply


class Lookout:
    """Looks at a server, once or again and again.

    Args:
        session: the way there.
        named: queues to look at, beside the contract's and those that workers serve.
        greeting_s: how long it took to connect.
    """

    def __init__(self, session: Asks, named: Sequence[str], greeting_s: float = 0.0) -> None:
        self._session = _Timed(session, greeting_s)
        self._named = tuple(named)
        self._known: set[str] = set()
        self._due = float("-inf")
        self._backlogs = Backlogs()

    def __repr__(self) -> str:
        return f"Lookout({', '.join(self._named)})"

    async def look(self) -> Overview:
        """Look at the server.

        Raises:
            PoolError: the server is out of reach or refuses.
        """
        server_now, clock_s = await self._ask_time()
        beats = await self._beats()
        queues = await self._queues(beats, server_now)
        beats = await self._with_missing(beats, queues)
        workers = await self._workers(beats, queues, server_now)
        seconds = server_now.timestamp()
        recurring = [await read_recurring(self._session, q.name, seconds) for q in queues]
        answer_s, self._session.longest = self._session.longest, 0.0
        return Overview(
            queues=queues,
            workers=workers,
            remarks=remarks(queues, workers, answer_s, clock_s),
            recurring=tuple(view for views in recurring for view in views),
            notes=notes(queues, workers),
            answer_s=answer_s,
            clock_s=clock_s,
        )

    async def _ask_time(self) -> tuple[datetime, float]:
        """Return the server's time, and by how many seconds ours is ahead."""
        began = time.monotonic()
        clock = await self._session.ask("tell the time", "TIME")
        took = time.monotonic() - began
        seconds = int(clock[0]) + int(clock[1]) / 1e6
        # It was said at some moment in between; what may be the way there isn't the clock's.
        ahead = time.time() - took / 2 - seconds
        ahead = 0.0 if abs(ahead) <= took / 2 else ahead
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds), ahead

    async def _beats(self) -> list[dict[str, Any]]:
        now = time.monotonic()
        if now < self._due:
            return await read_heartbeats_of(self._session, self._known)
        self._due = now + _DISCOVERY
        beats = await read_heartbeats(self._session)
        self._known = {beat["worker_id"] for beat in beats}
        served = (queue for beat in beats for queue in texts(beat.get("queues")))
        # A queue that some worker has served isn't forgotten with its last worker.
        self._named = tuple(dict.fromkeys((*self._named, *sorted(served))))
        return beats

    async def _queues(
        self, beats: Sequence[dict[str, Any]], server_now: datetime
    ) -> tuple[QueueView, ...]:
        names = queues_of(beats, self._named)
        found = [(await look_at(self._session, name, server_now))[0] for name in names]
        backlogs = {queue.name: queue.waiting + queue.in_flight + queue.delayed for queue in found}
        growth = self._backlogs.growth(time.monotonic(), backlogs)
        views = []
        for queue in found:
            out = answered_rate(queue.name, beats)
            grows = growth.get(queue.name)
            known = out is not None and grows is not None
            dead, more = await recent_dead(
                self._session, queue.name, queue.dead, server_now.timestamp()
            )
            views.append(
                evolve(
                    queue,
                    out_s=out,
                    in_s=max(0.0, (out or 0.0) + (grows or 0.0)) if known else None,
                    dead_recent=dead,
                    dead_more=more,
                )
            )
        return tuple(views)

    async def _with_missing(
        self, beats: list[dict[str, Any]], queues: Sequence[QueueView]
    ) -> list[dict[str, Any]]:
        """Add the heartbeats of those who hold leases and hadn't been known, or had just begun."""
        known = {beat["worker_id"] for beat in beats}
        names = {holder.worker_id for queue in queues for holder in queue.holders} - known
        if not names:
            return beats
        self._known |= names
        more = await read_heartbeats_of(self._session, names)
        return sorted([*beats, *more], key=lambda beat: str(beat["worker_id"]))

    async def _workers(
        self,
        beats: Sequence[dict[str, Any]],
        queues: Sequence[QueueView],
        server_now: datetime,
    ) -> tuple[WorkerView, ...]:
        holders = {queue.name: queue.holders for queue in queues}
        held = await read_held(self._session, holders)
        runs = await read_runs(self._session, held, server_now)
        ages = await heartbeat_ages(self._session, beats)
        views = []
        for beat, stored_s in zip(beats, ages, strict=True):
            holder = str(beat.get("holder"))
            holding = _holding(beat, holders)
            view = view_of(beat, stored_s, holding, runs.get(holder, ()), server_now)
            views.append(evolve(view, holds=held.get(holder, ())[: view.slots]))
        return tuple(views)


def _holding(
    beat: dict[str, Any], holders: dict[str, tuple[HolderView, ...]]
) -> list[HolderView | None]:
    """Return a worker as a holder of each of its queues."""
    name = str(beat.get("holder"))
    return [
        next((holder for holder in holders.get(queue, ()) if holder.name == name), None)
        for queue in texts(beat.get("queues"))
    ]
