"""Whether and until when a worker is to end."""

from math import inf
from typing import Final

import anyio

_SETTLE: Final = 5.0
"""Seconds that the publisher has for the last answers when the grace was the full one."""

_HANDLERS_SHARE: Final = 0.6
"""The part of a short grace that the handlers get; the rest is for their answers."""


class StopRequest:
    """Requests for the end of a worker; a later one can only shorten an earlier one.

    A request may come from a signal's or a loop's callback, outside of any task, where no clock
    can be read: it is dated by `keep_time`, which runs beside the actors.
    """

    def __init__(self) -> None:
        self._undated: list[tuple[float, float]] = []
        self._came = anyio.Event()
        self._dated = anyio.Event()
        self._scopes: list[tuple[anyio.CancelScope, bool]] = []
        self._joining: anyio.CancelScope | None = None
        self._running_until = inf
        self._settling_until = inf
        self.requested = False
        """Whether the worker is to end."""

    def __repr__(self) -> str:
        return f"StopRequest(requested={self.requested})"

    def request(self, grace: float, settle: float = _SETTLE) -> None:
        """Ask for the end.

        Args:
            grace: seconds that running handlers may go on.
            settle: seconds after that for what is left to be settled.
        """
        self.requested = True
        self._undated.append((grace, settle))
        self._came.set()
        if self._joining is not None:
            self._joining.cancel(reason="stopped before the server was reached")

    def request_soon(self, cancel_grace: float) -> None:
        """Ask for the end within `cancel_grace` seconds, the settling included."""
        handlers = cancel_grace * _HANDLERS_SHARE
        self.request(handlers, cancel_grace - handlers)

    def abandon_if_requested(self, joining: anyio.CancelScope | None) -> None:
        """Name the scope that a request, made or to come, cancels: nothing is held yet."""
        self._joining = joining
        if joining is not None and self.requested:
            joining.cancel(reason="stopped before it began")

    async def keep_time(self) -> None:
        """Date requests as they come, for ever."""
        while True:
            await self._came.wait()
            self._came = anyio.Event()
            now = anyio.current_time()
            for grace, settle in self._undated:
                self._running_until = min(self._running_until, now + grace)
                self._settling_until = min(self._settling_until, now + grace + settle)
            self._undated.clear()
            self._dated.set()
            for scope, is_settling in self._scopes:
                scope.deadline = self._deadline(is_settling=is_settling)

    async def wait(self) -> None:
        """Wait for a request."""
        await self._dated.wait()

    async def until_running_ends(self, event: anyio.Event) -> bool:
        """Wait for an event while handlers may run; return whether it came."""
        return await self._until(event, is_settling=False)

    async def until_settling_ends(self, event: anyio.Event) -> bool:
        """Wait for an event while answers may be settled; return whether it came."""
        return await self._until(event, is_settling=True)

    async def _until(self, event: anyio.Event, *, is_settling: bool) -> bool:
        entry = (anyio.CancelScope(deadline=self._deadline(is_settling=is_settling)), is_settling)
        self._scopes.append(entry)
        try:
            with entry[0]:
                await event.wait()
        finally:
            self._scopes.remove(entry)
        return event.is_set()

    def _deadline(self, *, is_settling: bool) -> float:
        return self._settling_until if is_settling else self._running_until
