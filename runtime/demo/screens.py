"""Where a demonstration is shown: a live view on a terminal, plain lines elsewhere."""

import sys
from contextlib import suppress
from typing import Final, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live

from runtime.demo import view
from runtime.demo.snapshot import Event, Snapshot

_REST: Final = 1.3
"""Seconds for people to read what has just happened."""


class Screen(Protocol):
    """Shows moments, for as long as it is entered."""

    @property
    def rest(self) -> float:
        """Seconds that its reader needs after each step."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Show a moment.

        Raises:
            OSError: there is nobody left to show it to.
        """


class LiveScreen:
    """The whole terminal; what was on it before comes back at the end, the last moment below it.

    Args:
        console: the terminal.
    """

    rest = _REST

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._last: Snapshot | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The terminal may be gone, and that it is must not keep anything from being cleaned up.
        with suppress(OSError):
            self._live.stop()
            if self._last is not None:
                # One line less: what is printed below it begins on a line of its own.
                height = self._console.height - 1
                self._console.print(self._drawn(self._last, height), height=height)

    def show(self, snapshot: Snapshot) -> None:
        """Show a moment, in the size that the terminal has now."""
        self._last = snapshot
        self._live.update(self._drawn(snapshot, self._console.height), refresh=True)

    def _drawn(self, snapshot: Snapshot, height: int) -> RenderableType:
        return view.view(snapshot, self._console.width, height)


class Lines:
    """One line for each thing that happens, for pipes, files and terminals that can't do more."""

    rest = 0.0

    def __init__(self) -> None:
        self._shown = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Write what has happened since the moment before."""
        fresh = snapshot.events[self._shown :]
        self._shown += len(fresh)
        for event in fresh:
            sys.stdout.write(_line(event) + "\n")
        if fresh:
            sys.stdout.flush()


def screen() -> Screen:
    """Return what suits the standard output; NO_COLOR and TERM=dumb are heeded."""
    console = Console(highlight=False, markup=False)
    large = console.width >= view.LEAST_WIDTH and console.height >= view.LEAST_HEIGHT
    if sys.stdout.isatty() and large and not console.is_dumb_terminal:
        return LiveScreen(console)
    return Lines()


def _line(event: Event) -> str:
    mark = "> " if event.headline else "  "
    return f"{event.at_s:5.1f} s  {mark}{event.text}"
