"""Executors without work, woken one at a time.

A channel that hands an item to each waiting receiver wakes a hundred executors for a hundred tasks
that one of them could have run in the same turn of the loop. Here one is woken; before it begins a
task while others wait, it wakes the next. The next one gets its turn as soon as the first one
waits for anything, so no executor stays idle while there is work, and quick tasks wake nobody.
"""

import anyio


class Idle:
    """The executors that wait for work."""

    def __init__(self) -> None:
        self._resting: list[anyio.Event] = []
        self._waking = False

    def __repr__(self) -> str:
        return f"Idle({len(self._resting)} resting)"

    async def rest(self) -> None:
        """Wait to be woken. A cancellation leaves nothing behind."""
        event = anyio.Event()
        self._resting.append(event)
        try:
            await event.wait()
        finally:
            if not event.is_set():
                self._resting.remove(event)
            else:
                self._waking = False

    def wake_one(self) -> None:
        """Wake one executor, unless one is on its way already."""
        if self._resting and not self._waking:
            self._waking = True
            self._resting.pop().set()

    def wake_all(self) -> None:
        """Wake all of them: there will be no more work."""
        while self._resting:
            self._resting.pop().set()
