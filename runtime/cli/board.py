"""An overview as lines that fit a screen: the worst first, the rest summed up.

What is wrong gets up to a third of the screen, or what the tables leave; the queues get a third of
what is left, or what the workers leave; the workers get the rest: first those in trouble, then
those that run something for the longest, then the busiest.
"""

from collections.abc import Sequence
from typing import Final

from attrs import field, frozen
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from runtime.cli.figures import age, rate, size
from runtime.cli.grid import Column, grid, shortened
from runtime.cli.overview import Overview
from runtime.cli.queue_views import QueueView
from runtime.cli.recurring_views import RecurringView
from runtime.cli.remarks import is_troubled
from runtime.cli.worker_views import TaskView, WorkerView

Line = tuple[str, str]
"""A text, and its style."""

_UNBOUNDED: Final = 1_000_000
_WRONG: Final = "bold red"
_NOTE: Final = "yellow"
_ID: Final = 8
"""Letters of a task's id that are shown."""

_QUEUES: Final = (
    Column("Queue", right=False, gives=True),
    *map(Column, ("Waiting", "In flight", "Dead", "Delayed", "In/s", "Out/s", "Oldest")),
    Column("", right=False),
)
_WORKERS: Final = (
    Column("Worker", right=False, gives=True),
    Column("Busy"),
    Column("Runs", right=False, gives=True),
    *map(Column, ("For", "Done", "Failed", "Memory")),
    Column("Lease", right=False),
)
_RECURRING: Final = (
    Column("Recurring", right=False, gives=True),
    Column("Queue", right=False, gives=True),
    Column("Last due"),
)


@frozen
class Board:
    """An overview on a screen.

    Attributes:
        found: what was found.
        address: the server, as it may be shown.
        spare: lines of the screen that are left free; None where all is shown, however long.
        trouble: why what is shown is old; or empty.
        when: the time of what is shown; or empty.
    """

    found: Overview
    address: str
    spare: int | None = field(default=0, kw_only=True)
    trouble: str = field(default="", kw_only=True)
    when: str = field(default="", kw_only=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one line after the other, as rich asks for them."""
        height = _UNBOUNDED if self.spare is None else console.height - self.spare
        lines = self.lines(options.max_width, height)
        for number, (text, style) in enumerate(lines):
            # A full screen's last line has no end, which would scroll it.
            if number:
                yield Segment.line()
            yield Segment(text, console.get_style(style) if style else None)

    def lines(self, width: int, height: int) -> list[Line]:
        """Return at most `height` lines of at most `width` cells."""
        found = self.found
        head = self._head(width)
        left = height - len(head)
        spare = left - _needed(found)
        wrong = _sentences(found.remarks, _WRONG, width, max(2, left // 3, spare))
        noted = _sentences(found.notes, _NOTE, width, max(1, left // 6))
        left -= len(wrong) + len(noted)
        queues = _queues(found.queues, width, max(3, left // 3, left - len(found.workers) - 2))
        left -= len(queues)
        workers = _workers(found.workers, width, left)
        left -= len(workers)
        recurring = _recurring(found.recurring, width, left)
        left -= len(recurring)
        sections = [part for part in (head, wrong, noted, queues, workers, recurring) if part]
        lines: list[Line] = []
        for place, section in enumerate(sections):
            # Sentences stand together, tables apart, where there is room.
            if place and left > 0 and section is not noted:
                lines.append(("", ""))
                left -= 1
            lines += section
        return lines[: max(0, height)]

    def _head(self, width: int) -> list[Line]:
        parts = [f"Redis {self.address}"]
        versions = {worker.version for worker in self.found.workers if worker.version}
        if len(versions) == 1:
            parts.append(f"version {versions.pop()}")
        if self.when:
            parts.append(self.when)
        first = "  ".join(parts)
        head = [(first if self.spare is None else shortened(first, width), "dim")]
        if self.trouble:
            head.append((shortened(self.trouble, width), _WRONG))
        return head


def _needed(found: Overview) -> int:
    """Return how many lines the tables and notes take, with the empty ones between them."""
    tables = [len(part) for part in (found.queues, found.workers, found.recurring) if part]
    return 1 + sum(2 + rows for rows in tables) + 2 * len(found.notes)


def _sentences(sentences: Sequence[str], style: str, width: int, most: int) -> list[Line]:
    """Set each sentence on a line at least; the worst are written out as far as there is room.

    Of more than there are lines, the first, and how many there are beside.
    """
    shown = sentences if len(sentences) <= most else sentences[: most - 1]
    room = most - len(sentences)
    lines: list[Line] = []
    for sentence in shown:
        wrapped = _wrapped(sentence, width)
        more = len(wrapped) - 1
        if more > max(0, room):
            wrapped, more = [f"{_wrapped(sentence, width - 2)[0]} …"], 0
        room -= more
        lines += [(line, style) for line in wrapped]
    if len(shown) < len(sentences):
        rest = f"… and {len(sentences) - len(shown)} more"
        lines.append((shortened(rest, width), style))
    return lines


def _wrapped(sentence: str, width: int) -> list[str]:
    clean = "".join(letter if letter.isprintable() else "�" for letter in sentence)
    wrapped = Text(clean).wrap(Console(width=width), width, overflow="fold")
    return [line.plain.rstrip() for line in wrapped]


def _queues(queues: Sequence[QueueView], width: int, most: int) -> list[Line]:
    # Those with work come first when there isn't room for all; otherwise each keeps its place.
    cut = len(queues) > most - 1
    chosen = sorted(queues, key=_idle)[: most - 2] if cut else queues
    rows = [
        (
            queue.name,
            *(f"{n:,}" for n in (queue.waiting, queue.in_flight, queue.dead, queue.delayed)),
            rate(queue.in_s),
            rate(queue.out_s),
            "" if queue.oldest_s is None else age(queue.oldest_s),
            "" if queue.paused_s is None else "paused",
        )
        for queue in chosen
    ]
    lines = grid(_QUEUES, rows, width)
    if cut:
        others = [queue for queue in queues if queue not in chosen]
        waiting = sum(queue.waiting for queue in others)
        rest = f"… and {len(others)} more queues: {waiting:,} waiting"
        lines.append((shortened(rest, width), "dim"))
    return lines


def _idle(queue: QueueView) -> tuple[int, int]:
    return -queue.waiting, -(queue.in_flight + queue.delayed)


def _workers(workers: Sequence[WorkerView], width: int, most: int) -> list[Line]:
    if most < 1:
        return []
    if not workers:
        return [(shortened("No workers.", width), "")]
    ranked = sorted(workers, key=_calm)
    cut = len(ranked) > most - 1
    shown = ranked[: max(0, most - 2)] if cut else ranked
    lines = []
    if shown:
        marks = ["red" if is_troubled(worker) else "" for worker in shown]
        lines = grid(_WORKERS, [_worker(worker) for worker in shown], width, marks)
    if cut:
        lines.append((shortened(_rest(ranked[len(shown) :], len(shown)), width), "dim"))
    return lines


def _calm(worker: WorkerView) -> tuple[bool, float, float, str]:
    """Rank a worker: whoever needs a look comes first."""
    longest = worker.runs[0].seconds if worker.runs else 0.0
    busy = worker.active / worker.slots if worker.slots else 0.0
    return not is_troubled(worker), -longest, -busy, worker.worker_id


def _worker(worker: WorkerView) -> tuple[str, ...]:
    first = worker.runs[0] if worker.runs else None
    more = len(worker.runs) - 1
    return (
        worker.worker_id,
        f"{worker.active}/{worker.slots}",
        "" if first is None else _run(first) + (f" +{more}" if more > 0 else ""),
        "" if first is None else age(first.seconds),
        f"{worker.processed:,}",
        f"{worker.failed:,}",
        size(worker.memory_bytes),
        "alive" if worker.lease_alive else "lapsed",
    )


def _run(task: TaskView) -> str:
    shown = task.task_id if len(task.task_id) <= _ID else task.task_id[:_ID]
    done = ""
    if task.done is not None:
        done = f" {task.done:g}" + ("" if task.total is None else f"/{task.total:g}")
    again = f" #{task.attempt}" if task.attempt > 1 else ""
    return f"{task.type} {shown}{again}{done}"


def _rest(workers: Sequence[WorkerView], shown: int) -> str:
    busy = sum(worker.active for worker in workers)
    slots = sum(worker.slots for worker in workers)
    ill = sum(is_troubled(worker) for worker in workers)
    how = f"{ill} in trouble" if ill else "none in trouble"
    more = f"… and {len(workers)} more" if shown else str(len(workers))
    return f"{more} workers: {busy} of {slots} slots busy, {how}"


def _recurring(recurring: Sequence[RecurringView], width: int, most: int) -> list[Line]:
    room = most - 2  # a line apart, and the headings
    if not recurring or room < 1:
        return []
    cut = len(recurring) > room
    rows = [
        (
            task.name,
            task.queue,
            f"{age(task.fired_s)} ago" if task.fired_s >= 0 else f"in {age(-task.fired_s)}",
        )
        for task in recurring[: room - 1 if cut else room]
    ]
    lines = grid(_RECURRING, rows, width) if rows else []
    if cut:
        lines.append((shortened(f"… and {len(recurring) - len(rows)} more recurring", width), ""))
    return lines
