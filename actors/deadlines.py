"""Ends handlers whose time is up: one timer for all slots.

A timer for each task is armed and taken back again for nearly every one of them, which costs a
quick task a sixth of its time. Here one waits for the earliest deadline there may be. Tasks that
begin later mostly end later, so it is rarely woken.
"""

from math import inf

import anyio

from actors.state import Running, WorkerState


class Deadlines:
    """The watch over all that runs.

    Args:
        state: knows what runs.
    """

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._next = inf
        self._sooner = anyio.Event()

    def __repr__(self) -> str:
        return f"Deadlines(next={self._next})"

    def set(self, running: Running, deadline: float) -> None:
        """Say when a run's time is up, in seconds of the event loop's clock; `inf` for never."""
        running.deadline = deadline
        if deadline < self._next:
            self._next = deadline
            self._sooner.set()

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            now = anyio.current_time()
            self._end_late(now)
            self._next = min((one.deadline for one in self._state.running.values()), default=inf)
            self._sooner = anyio.Event()
            with anyio.move_on_after(self._next - now):
                await self._sooner.wait()

    def _end_late(self, now: float) -> None:
        for running in self._state.running.values():
            if running.deadline <= now:
                running.deadline = inf
                running.scope.cancel(reason="its time is up")
