"""What a worker says, on one screen, when it takes tasks: where it is, and how to push."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from rich.console import Console
from rich.table import Table

from runtime.redis import keys

_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "spawn_agent": {
        "cluster_id": "demo",
        "agent_def": {
            "role": "worker",
            "name": "Content Creator",
            "capabilities": ["copywriting"],
        },
    },
    "health_check": {"cluster_id": "demo"},
}


@frozen(kw_only=True)
class Facts:
    """What the screen shows.

    Attributes:
        worker_id: the worker's name.
        queues: what it serves.
        types: the types of task that it has handlers for.
        slots: how many tasks it runs at once.
        redis: the queue server, as it may be shown.
        redis_is_private: whether it is the data directory's.
        redis_has_secret: whether its URL can't be shown in full.
        database: BRAiN's database, as it may be shown; None if there is none.
        data_dir: the data directory, None if it is the default one.
        first_task: a type and a queue to push a first task with.
    """

    worker_id: str
    queues: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    redis: str
    redis_is_private: bool
    redis_has_secret: bool
    database: str | None
    data_dir: Path | None
    first_task: tuple[str, str | None]


def show(facts: Facts, console: Console | None = None) -> None:
    """Print the screen on standard error, without colour where that is no terminal."""
    console = console or Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        table.add_row(name, value)
    console.print()
    console.print(f"  Worker {facts.worker_id} takes tasks.", style="bold")
    console.print()
    console.print(table)
    console.print()
    console.print("  Push a first task from a second terminal, in this directory:")
    console.print()
    # Printed as it is: a line that was folded couldn't be copied.
    console.print(f"  {push_command(facts)}", style="bold")
    console.print()
    console.print("  Look around with the commands status and health; Ctrl-C ends the worker.")
    console.print()


def push_command(facts: Facts) -> str:
    """Return a command that pushes a first task to the worker."""
    task_type, queue = facts.first_task
    payload = json.dumps(_EXAMPLES.get(task_type, {}))
    words = [_python(), "-m", "runtime", "push", task_type, payload]
    if queue is not None and queue != keys.CLUSTER_QUEUE:
        words += ["--queue", queue]
    words.append("--wait")
    if facts.redis_is_private and facts.data_dir is not None:
        words += ["--data-dir", str(facts.data_dir)]
    command = shlex.join(words)
    if facts.redis_is_private:
        return command
    if facts.redis_has_secret:
        return f'{command} --redis-url "$REDIS_URL"'
    return f"{command} --redis-url {shlex.quote(facts.redis)}"


def _rows(facts: Facts) -> Sequence[tuple[str, str]]:
    private = ", private" if facts.redis_is_private else ""
    rows = [
        ("  queues", ", ".join(facts.queues)),
        ("  handlers", ", ".join(facts.types)),
        ("  slots", f"{facts.slots}"),
        ("  Redis", facts.redis + private),
    ]
    if facts.database is not None:
        rows.append(("  PostgreSQL", facts.database))
    return rows


def _python() -> str:
    """Return the interpreter as one would type it here."""
    path = Path(sys.executable)
    here = Path(os.path.relpath(path))
    return str(path if here.parts[:1] == ("..",) else here)
