"""The work of the demonstration's missions: counting primes, in steps that one can watch.

The ranges of all missions make one, so the sum of the answers can be checked: a mission that was
lost would leave it too small.
"""

import math
from typing import Final

import anyio
from attrs import frozen

from actors import Context, Handlers, Reject
from runtime.redis import keys

TASK_TYPE: Final = "demo.count_primes"

_LARGEST: Final = 10**9
"""The largest number that is looked at: the primes up to its root are found at each step."""

_MOST_STEPS: Final = 1_000

handlers = Handlers(queue=keys.MISSION_QUEUE)


@frozen
class CountPrimes:
    """The primes of a range.

    Attributes:
        start: the first number.
        stop: the first one behind the last.
        steps: in how many parts it is counted.
        pause: seconds of rest after each part, so that people can follow.
        agent_id: whose mission it is, if it was delegated.
    """

    start: int
    stop: int
    steps: int = 20
    pause: float = 0.0
    agent_id: str | None = None


@handlers.on(TASK_TYPE, timeout=60)
async def count_primes(payload: CountPrimes, context: Context) -> dict[str, int | None]:
    """Count the primes of a range; a run after a death goes on where the last one stood.

    Raises:
        Reject: the payload describes no range that can be counted.
    """
    _check(payload)
    saved = context.saved
    done, primes = saved or (0, 0)
    context.progress(done, payload.steps)
    for step in range(done, payload.steps):
        primes += primes_in(_bound(payload, step), _bound(payload, step + 1))
        await context.save([step + 1, primes])
        context.progress(step + 1, payload.steps)
        await anyio.sleep(payload.pause)
    return {"primes": primes, "steps": payload.steps, "resumed_at": saved[0] if saved else None}


def primes_in(start: int, stop: int) -> int:
    """Count the primes from `start` up to, but not including, `stop`."""
    first = max(2, start)
    sieve = bytearray([1]) * max(0, stop - first)
    for divisor in range(2, math.isqrt(max(0, stop - 1)) + 1):
        multiple = max(divisor * divisor, -(-first // divisor) * divisor)
        sieve[multiple - first :: divisor] = bytes(len(range(multiple, stop, divisor)))
    return sum(sieve)


def _bound(payload: CountPrimes, step: int) -> int:
    return payload.start + (payload.stop - payload.start) * step // payload.steps


def _check(payload: CountPrimes) -> None:
    if not 0 <= payload.start <= payload.stop <= _LARGEST:
        raise Reject(
            f"start is {payload.start} and stop is {payload.stop}, "
            f"expected 0 <= start <= stop <= {_LARGEST}"
        )
    if not 1 <= payload.steps <= _MOST_STEPS:
        raise Reject(f"steps is {payload.steps}, expected 1 to {_MOST_STEPS}")
    if not 0 <= payload.pause <= 1:
        raise Reject(f"pause is {payload.pause}, expected 0 to 1 s")
