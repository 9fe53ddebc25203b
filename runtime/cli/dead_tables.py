"""Shows dead letters to people: a table that fits into 80 columns, or all of one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from runtime.dead_letters import Letter

_LONG: Final = 1_000
"""Letters from which on a bar is worth its place."""


_WIDE: Final = 130
"""Columns from which on a UUID and an error have room beside each other."""

_GAP: Final = 3
"""Characters between two columns."""

_SPARE: Final = 6
"""Characters that a line may lose to whole words."""


def show_list(letters: Sequence[Letter], total: int, console: Console | None = None) -> None:
    """Print a line each.

    Args:
        letters: what to show.
        total: how many there are in all.
        console: where it goes.
    """
    console = console or Console(highlight=False, markup=False)
    if not letters:
        console.print("No dead letters.")
        return
    # Fixed widths, for Rich would take them all for a long error: a UUID on two lines, or on one.
    widths = (11, 36, 16, 18, 4) if console.width >= _WIDE else (11, 18, 10, 10, 4)
    error = max(10, console.width - sum(widths) - _GAP * len(widths) - 1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, width in zip(
        ("When (UTC)", "Task", "Type", "Reason", "Runs"), widths, strict=True
    ):
        table.add_column(heading, overflow="fold", width=width)
    table.add_column("Error", overflow="fold", width=error)
    for one in letters:
        said = " ".join(one.error.split())
        table.add_row(
            f"{one.time:%m-%d %H:%M}",
            one.task_id or one.entry,
            one.task_type,
            one.reason,
            str(one.attempts),
            # On two lines at most, as the task is.
            said if len(said) <= 2 * error - _SPARE else said[: 2 * error - _SPARE] + "…",
        )
    console.print(table)
    if total > len(letters):
        console.print(f"The newest {len(letters)} of {total:,}; --limit shows more.")


def show_one(letter: Letter, console: Console | None = None) -> None:
    """Print all that is known of one."""
    console = console or Console(highlight=False, markup=False, soft_wrap=True)
    facts = {
        "task": letter.task_id,
        "type": letter.task_type,
        "queue": letter.queue,
        "entry": letter.entry,
        "put away": f"{letter.time:%Y-%m-%d %H:%M:%S} UTC by {letter.worker_id}",
        "reason": letter.reason,
        "runs": str(letter.attempts),
        "deaths": str(letter.deaths),
        "error": f"{letter.error_type}: {letter.error}" if letter.error_type else letter.error,
    }
    for name, value in facts.items():
        console.print(f"{name:>9}  {value or '(unknown)'}")
    for past in letter.errors:
        what = f"{past.get('error_type', '')}: {past.get('error', '')}"
        where = f"{past.get('time', '')} on {past.get('worker_id', '')}"
        console.print(f"{'run ' + str(past.get('attempt', '?')):>9}  {what} ({where})")
    if letter.traceback:
        console.print()
        console.print(letter.traceback)
    console.print()
    console.print(letter.raw.decode(errors="backslashreplace"))


@contextmanager
def tracked(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar during the block, on a terminal and for long work only; yield what moves it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=total < _LONG) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
