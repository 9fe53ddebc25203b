"""The floor of latency: a consumer that waits with BLMOVE and does nothing else.

It uses the same client library and the same kind of connection as the worker. Prints, at the end,
how many nanoseconds each task took to get here.
"""

import asyncio
import json
import sys
import time
from typing import Final

from runtime.redis.connection import dialer

QUEUE: Final = "bench:floor"
TAKEN: Final = "bench:floor:taken"
END: Final = b"end"


async def consume(url: str) -> list[int]:
    """Take tasks until the last one, and return how long each waited."""
    link = dialer(url)()
    waits: list[int] = []
    try:
        await link.connect()
        while True:
            await link.send_command("BLMOVE", QUEUE, TAKEN, "LEFT", "RIGHT", "60")
            raw = await link.read_response()
            now = time.monotonic_ns()
            if raw is None or raw == END:
                return waits
            waits.append(now - json.loads(raw)["payload"]["sent_ns"])
    finally:
        await link.disconnect()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(consume(sys.argv[1]))))
