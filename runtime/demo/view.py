"""The live view: a plain function from a snapshot to what rich draws, in any size.

Nothing is told by colour alone, and what has no room is counted.
"""

from collections.abc import Sequence
from typing import Final, TypeVar, assert_never

from rich import box
from rich.console import RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runtime.demo.snapshot import (
    AgentRow,
    ClusterRow,
    Event,
    MissionRow,
    MissionState,
    QueueRow,
    Snapshot,
    WorkerRow,
    WorkerState,
)

T = TypeVar("T")

LEAST_WIDTH: Final = 72
LEAST_HEIGHT: Final = 20
"""Below that a view can't be read, and lines are better."""

_HEADER: Final = 2
_UPPER: Final = 5
"""Lines of the panels of queues and workers: a frame, a heading, two rows."""

_LEAST_LOG: Final = 6
_FRAME: Final = 2
_WIDE: Final = 120
"""Columns from which on there is room for more than the essentials."""

_WORKER_STYLES: Final = {
    WorkerState.STARTING: "yellow",
    WorkerState.ALIVE: "green",
    WorkerState.KILLED: "bold red",
}
_MISSION_STYLES: Final = {
    MissionState.WAITING: "yellow",
    MissionState.RUNNING: "cyan",
    MissionState.ORPHANED: "bold red",
    MissionState.ANSWERED: "green",
    MissionState.FAILED: "bold red",
}
_AGENT_STYLES: Final = {"busy": "cyan", "failed": "bold red", "stopped": "dim"}


def view(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """Return the view of a moment, to be drawn on a console of that size; it never exceeds it.

    Args:
        snapshot: the moment.
        width: columns.
        height: lines.
    """
    wide = width >= _WIDE
    room = max(1, height - _HEADER - _UPPER)
    wanted = max(len(snapshot.agents), len(snapshot.missions), 1) + _FRAME
    middle = max(1, min(wanted, room - _LEAST_LOG))
    upper = Layout(size=_UPPER)
    upper.split_row(
        Layout(_panel("Queues", _queues(snapshot.queues, wide=wide)), ratio=9),
        Layout(_panel("Worker processes", _workers(snapshot.workers, wide=wide)), ratio=11),
    )
    agents = _fitting(snapshot.agents, middle - _FRAME)
    missions = _fitting(snapshot.missions, middle - _FRAME)
    lower = Layout(size=middle)
    lower.split_row(
        Layout(_panel("Agents", _agents(*agents, wide=wide)), ratio=9),
        Layout(_panel("Missions", _missions(*missions, wide=wide)), ratio=11),
    )
    log = _log(snapshot.events, room - middle - _FRAME)
    whole = Layout()
    whole.split_column(
        Layout(_header(snapshot, wide=wide), size=_HEADER),
        upper,
        lower,
        Layout(_panel("What happened", log)),
    )
    return whole


def _header(snapshot: Snapshot, *, wide: bool) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    about = _about(snapshot.cluster, wide=wide)
    table.add_row(about, Text(f"{snapshot.elapsed_s:.1f} s", style="dim"))
    table.add_row(Text(f" {snapshot.headline}", style="bold"), "")
    return table


def _about(cluster: ClusterRow | None, *, wide: bool) -> Text:
    text = Text(" BRAiN worker pool" if wide else " BRAiN", style="bold cyan")
    if cluster is not None:
        workers = "1 worker" if cluster.workers == 1 else f"{cluster.workers} workers"
        completed = f", {cluster.completed} missions completed" if wide else ""
        text.append(
            f"  {cluster.name}: {cluster.status}, {workers}, "
            f"health {cluster.health:.2f}, load {cluster.load:.0f}%{completed}",
            style="not bold default",
        )
    return text


def _queues(queues: Sequence[QueueRow], *, wide: bool) -> Table:
    headings = ("waits", "held", "later", "dead")
    if wide:
        headings = ("waiting", "in flight", "delayed", "dead letters")
    table = _table("queue", *headings)
    for queue in queues:
        name = queue.name if wide else queue.name.removeprefix("brain:").removesuffix("_tasks")
        counts = (queue.waiting, queue.in_flight, queue.delayed, queue.dead)
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def _workers(workers: Sequence[WorkerRow], *, wide: bool) -> Table:
    table = _table("worker", "state", "slots", "answers", "lease", *(["process"] if wide else []))
    for column, least in zip(table.columns[1:], (8, 5, 7, 6), strict=False):
        column.min_width = least
    for worker in workers:
        renewed = "" if worker.renewed_s is None else f"{worker.renewed_s:.1f} s"
        table.add_row(
            worker.name,
            Text(worker.state, style=_WORKER_STYLES[worker.state]),
            f"{worker.holds}/{worker.slots}",
            f"{worker.answered}",
            renewed,
            *([f"{worker.pid}"] if wide else []),
        )
    return table


def _agents(agents: Sequence[AgentRow], left_out: int, *, wide: bool) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    # Wide enough for all that comes, so that nothing jumps when it does.
    for least in (23, 12, 8, 10) if wide else (15, 6, 9):
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=least)
    for agent in agents:
        # The end of a public id tells agents of a role apart.
        public = agent.agent_id if wide else f"{agent.role} {agent.agent_id[-4:]}"
        table.add_row(
            Text(public),
            *([Text(agent.name)] if wide else []),
            Text(agent.status, style=_AGENT_STYLES.get(agent.status, "default")),
            Text(agent.mission or ""),
        )
    if left_out:
        table.add_row(Text(f"and {left_out} more", style="dim"))
    return table


def _missions(missions: Sequence[MissionRow], left_out: int, *, wide: bool) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=40 if wide else 13)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for mission in missions:
        where = _where(mission)
        table.add_row(Text(mission.label), where, *_how_far(mission))
    if left_out:
        table.add_row(Text(f"and {left_out} more", style="dim"))
    return table


def _where(mission: MissionRow) -> Text:
    style = _MISSION_STYLES[mission.state]
    match mission.state:
        case MissionState.WAITING:
            return Text("waits", style=style)
        case MissionState.ORPHANED:
            return Text(f"{mission.worker} died", style=style)
        case MissionState.RUNNING | MissionState.ANSWERED | MissionState.FAILED:
            return Text(mission.worker or "", style=style)
        case _:
            assert_never(mission.state)


def _how_far(mission: MissionRow) -> tuple[RenderableType, str]:
    if mission.answer is not None:
        return Text(mission.answer, style=_MISSION_STYLES[mission.state]), ""
    if mission.done is None:
        return "", ""
    if not mission.total:
        return f"{mission.done:,.0f} so far", ""
    share = min(1.0, mission.done / mission.total)
    return ProgressBar(total=1.0, completed=share, complete_style="cyan"), f"{share:.0%}"


def _log(events: Sequence[Event], room: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    happened = [event for event in events if not event.headline]
    for event in happened[-max(1, room) :]:
        table.add_row(f"{event.at_s:.1f} s", Text(event.text))
    return table


def _fitting(rows: Sequence[T], room: int) -> tuple[Sequence[T], int]:
    """Return the rows that have room, and how many have none."""
    if len(rows) <= room:
        return rows, 0
    shown = max(0, room - 1)
    return rows[:shown], len(rows) - shown


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED, border_style="blue")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=1)
    for heading in others:
        table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
    return table
