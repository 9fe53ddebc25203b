"""What living workers say of themselves, and so which queues there are."""

from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol

import msgspec

from runtime.redis import keys

_SCANNED: Final = "1000"


class Asks(Protocol):
    """What is needed of a `runtime.producer_session.Session`."""

    async def ask(self, request: str, *words: str) -> Any:
        """Do an exchange that only reads."""


async def queue_names(session: Asks, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the contract's queues, those that are named, and those that living workers serve."""
    return queues_of(await read_heartbeats(session), named)


def queues_of(beats: Sequence[dict[str, Any]], named: Sequence[str]) -> tuple[str, ...]:
    """Return the same of heartbeats that were read."""
    served = [queue for beat in beats for queue in texts(beat.get("queues"))]
    return tuple(dict.fromkeys((keys.CLUSTER_QUEUE, keys.MISSION_QUEUE, *named, *sorted(served))))


async def read_heartbeats(session: Asks) -> list[dict[str, Any]]:
    """Read all workers' heartbeats, by name; what can't be read is passed over."""
    cursor, found = "0", set[str]()
    while True:
        request = "list the workers"
        scan = ("SCAN", cursor, "MATCH", keys.HEARTBEAT_PATTERN, "COUNT", _SCANNED)
        following, names = await session.ask(request, *scan)
        found.update(name.decode(errors="replace") for name in names)
        cursor = following.decode()
        if cursor == "0":
            break
    return await _read(session, found)


async def read_heartbeats_of(session: Asks, workers: Collection[str]) -> list[dict[str, Any]]:
    """Read the heartbeats of these workers, by name; who has none is passed over."""
    return await _read(session, [keys.heartbeat(worker) for worker in workers])


async def _read(session: Asks, names: Collection[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    bodies = await session.ask("tell the workers' heartbeats", "MGET", *sorted(names))
    return [beat for body in bodies if body is not None and (beat := _beat(body)) is not None]


def _beat(body: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found.get("worker_id"), str) else None


def texts(value: object) -> list[str]:
    """Return the texts of a list; of anything else none."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
