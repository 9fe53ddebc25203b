"""Shows an overview: tables that fit into 80 columns, and the remarks."""

from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from runtime.cli.overview import Overview, QueueView, RecurringView, WorkerView

_MINUTE: Final = 60
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", _MINUTE))


def show(found: Overview, address: str, console: Console) -> None:
    """Print the overview.

    Args:
        found: what to show.
        address: the server, as it may be shown.
        console: where it goes.
    """
    console.print(f"Redis {address}", style="dim", soft_wrap=True)
    console.print(_queues(found.queues))
    if found.recurring:
        console.print(_recurring(found.recurring))
    if found.workers:
        console.print(_workers(found.workers))
    else:
        console.print("No workers.")
    for remark in found.remarks:
        console.print(remark, style="yellow")


def age(seconds: float) -> str:
    """Write a duration with at most two units: 3 s, 4 m 10 s, 2 h 5 m, 3 d 4 h."""
    left = int(seconds)
    for place, (unit, size) in enumerate(_UNITS):
        if left >= size:
            smaller = (*_UNITS, ("s", 1))[place + 1]
            return f"{left // size} {unit} {left % size // smaller[1]} {smaller[0]}"
    return f"{left} s"


def _queues(queues: tuple[QueueView, ...]) -> Table:
    table = _table("Queue")
    for heading in ("Waiting", "In flight", "Dead", "Delayed", "Oldest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for queue in queues:
        oldest = "" if queue.oldest_s is None else age(queue.oldest_s)
        counts = (queue.waiting, queue.in_flight, queue.dead, queue.delayed)
        table.add_row(queue.name, *(f"{count:,}" for count in counts), oldest)
    return table


def _recurring(recurring: tuple[RecurringView, ...]) -> Table:
    table = _table("Recurring")
    table.add_column("Queue", overflow="fold")
    table.add_column("Last due", justify="right", no_wrap=True)
    for task in recurring:
        last = f"{age(task.fired_s)} ago" if task.fired_s >= 0 else f"in {age(-task.fired_s)}"
        table.add_row(task.name, task.queue, last)
    return table


def _workers(workers: tuple[WorkerView, ...]) -> Table:
    table = _table("Worker")
    for heading in ("Active", "Done", "Failed", "Heartbeat"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Lease", no_wrap=True)
    for worker in workers:
        table.add_row(
            worker.worker_id,
            f"{worker.active}/{worker.slots}",
            f"{worker.processed:,}",
            f"{worker.failed:,}",
            f"{age(worker.heartbeat_s)} ago",
            "alive" if worker.lease_alive else "lapsed",
        )
    return table


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold", min_width=20)
    return table
