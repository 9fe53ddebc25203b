"""What is said at the end: whether each task was answered once, and what the kill cost."""

from attrs import frozen
from rich.console import Console
from rich.table import Table

from runtime.demo.missions import NUMBERS, in_number
from runtime.demo.record import Record, Recovery


@frozen
class Summary:
    """What became of all tasks.

    Attributes:
        seconds: from the start to the end of it all.
        pushed: how many tasks were pushed.
        once: those that were answered once.
        twice: those that were answered more often.
        lost: those that weren't answered.
        recovery: what became of the killed worker's missions.
        primes: the sum of what the missions counted; None if they were chats.
    """

    seconds: float
    pushed: int
    once: int
    twice: int
    lost: int
    recovery: Recovery | None
    primes: int | None

    @property
    def well(self) -> bool:
        """Whether all went as it has to."""
        return self.once == self.pushed


def summarise(record: Record) -> Summary:
    """Count what was answered."""
    heard = {task_id: len(record.answers.get(task_id, ())) for task_id in record.pushed}
    results = [
        answer.get("result", {})
        for mission in record.missions
        for answer in record.answers.get(mission.task_id, ())[:1]
    ]
    primes = [result["primes"] for result in results if "primes" in result]
    return Summary(
        seconds=record.elapsed,
        pushed=len(heard),
        once=sum(count == 1 for count in heard.values()),
        twice=sum(count > 1 for count in heard.values()),
        lost=sum(count == 0 for count in heard.values()),
        recovery=record.recovery,
        primes=sum(primes) if primes else None,
    )


def show(summary: Summary, console: Console) -> None:
    """Print the summary."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("  tasks pushed", f"{summary.pushed}")
    table.add_row("  answered once", f"{summary.once}")
    table.add_row("  answered twice", f"{summary.twice}")
    table.add_row("  lost", f"{summary.lost}")
    if summary.recovery is not None:
        killed = summary.recovery
        table.add_row(
            "  worker killed", f"{killed.worker}, in the middle of {in_number(killed.missions)}"
        )
        table.add_row("  back elsewhere", f"after {killed.seconds:.1f} s")
    if summary.primes is not None:
        table.add_row("  counted", f"{summary.primes:,} primes below {NUMBERS:,}")
    how = "and no task was lost" if summary.well else "and not each task was answered once"
    console.print(f"The demo has ended after {summary.seconds:.0f} s, {how}:", style="bold")
    console.print(table)
    console.print("Its servers and workers are stopped, its files removed.")
