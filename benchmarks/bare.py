"""The bare loop that workers are compared with: the same scripts, and nothing else.

One process, one connection, batches of 500: take, decode, write a small answer, settle. No actors,
slots, handlers, typed payloads, time-outs, leases or recovery.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from actors import Settlement
from benchmarks.processes import QUEUE
from messages import decode_task
from runtime.redis import scripts
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import dialer
from runtime.redis.line import Line

HOLDER: Final = "bare"
_BATCH: Final = 500


async def drain(url: str) -> None:
    """Answer all that waits in the queue."""
    line = Line(dialer(url), 10.0, ReconnectBackoff(random.random), url)
    try:
        # The take script wants a lease; nobody watches it.
        await scripts.renew(line.call, QUEUE, HOLDER, 1, 1)
        batch = 0
        while raws := (await scripts.take(line.call, QUEUE, HOLDER, _BATCH)).raws:
            batch += 1
            now = datetime.now(UTC)
            endings = [_ending(raw, now) for raw in raws]
            await scripts.settle(line.call, QUEUE, HOLDER, batch, endings)
    finally:
        await line.aclose()


def _ending(raw: bytes, now: datetime) -> Settlement:
    task = decode_task(raw)
    answer = {
        "task_id": task.id,
        "worker_id": HOLDER,
        "timestamp": now,
        "success": True,
        "result": {},
    }
    return Settlement(raw, task.id, msgspec.json.encode(answer))


if __name__ == "__main__":
    asyncio.run(drain(sys.argv[1]))
