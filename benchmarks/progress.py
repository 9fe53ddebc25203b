"""How far the run is: a bar for people on a terminal, nothing for others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


class Bars:
    """One bar for each part of the run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def add(self, title: str, total: float) -> Callable[..., None]:
        """Add a bar; return what moves it on, by 1 or by what it is called with."""
        bar = self._progress.add_task(title, total=total)

        def step(by: float = 1.0) -> None:
            self._progress.advance(bar, by)

        return step


@contextmanager
def bars() -> Iterator[Bars]:
    """Show bars on the terminal while the run goes on."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as on:
        yield Bars(on)
