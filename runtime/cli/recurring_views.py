"""What `status` finds of recurring tasks."""

from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from runtime.heartbeats import Asks
from runtime.redis import keys

_LONGEST_TIME: Final = 14
"""Digits of the ms of a time that a calendar has."""


@frozen
class RecurringView:
    """A recurring task.

    Attributes:
        name: its name.
        queue: where its tasks go.
        fired: the time up to which it was fired, UTC: its last due time, or when it was first seen.
        fired_s: seconds since then; negative if the server's clock was set back.
    """

    name: str
    queue: str
    fired: str
    fired_s: float


async def read_recurring(session: Asks, queue: str, server_now: float) -> list[RecurringView]:
    """Look at a queue's recurring tasks, by name; what can't be read is passed over.

    Args:
        session: the way to the server.
        queue: the queue.
        server_now: the server's time, in seconds since the epoch.

    Raises:
        PoolError: the server is out of reach or refuses.
    """
    listed = await session.ask(f"tell of {queue}", "HGETALL", keys.recurring(queue))
    views = []
    for name, value in sorted(zip(listed[::2], listed[1::2], strict=True)):
        upto = value.partition(b" ")[0]
        if upto.isdigit() and len(upto) <= _LONGEST_TIME:
            fired = int(upto) / 1000
            views.append(
                RecurringView(
                    name=name.decode(errors="replace"),
                    queue=queue,
                    fired=datetime.fromtimestamp(fired, UTC).isoformat().replace("+00:00", "Z"),
                    fired_s=server_now - fired,
                )
            )
    return views
