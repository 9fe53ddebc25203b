"""How a worker gets into trouble that takes long, or another machine, by itself."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.cli.commands import Queue, Worker

_AHEAD: Final = """
import datetime as d, sys
import actors.surroundings

class Ahead(d.datetime):
    now = classmethod(lambda _, zone: d.datetime.now(zone) + d.timedelta(seconds=90))

actors.surroundings.datetime = Ahead
from runtime.__main__ import main
sys.exit(main())
"""


class AheadWorker(Worker):
    """A worker whose clock is 90 s ahead."""

    program = ("-c", _AHEAD)


def ago(seconds: float) -> str:
    """Return a moment of the past, as tasks have it."""
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def grow_older(queue: Queue, worker_id: str, seconds: int, **fields: str) -> None:
    """Bring a heartbeat into the state in which it would be after a time, if none followed it."""
    key = f"brain:worker:{worker_id}:heartbeat"
    beat = json.loads(queue.client.get(key))
    said = datetime.fromisoformat(beat["timestamp"]) - timedelta(seconds=seconds)
    body = json.dumps({**beat, "timestamp": said.isoformat(), **fields})
    queue.client.set(key, body, px=queue.client.pttl(key) - seconds * 1000)
