"""A worker's sign of life."""

from datetime import datetime

from attrs import field, frozen


@frozen
class Heartbeat:
    """What a worker says of itself. The first five fields are the contract's.

    Attributes:
        worker_id: who speaks.
        timestamp: when, UTC.
        tasks_processed: tasks answered since the start, failures included.
        tasks_failed: those of them that failed.
        active_tasks: handlers that run at this moment.
        started_at: when the worker began, UTC.
        holder: the name under which it holds tasks.
        slots: how many handlers it can run at once.
        queues: the queues that it serves.
        host: the machine's name.
        pid: the process.
        version: of this package.
        running: the tasks that run, as `{"id", "type", "seconds"}`.
    """

    worker_id: str
    timestamp: datetime
    tasks_processed: int
    tasks_failed: int
    active_tasks: int
    started_at: datetime
    holder: str
    slots: int
    queues: tuple[str, ...]
    host: str = ""
    pid: int = 0
    version: str = ""
    running: tuple[dict[str, str | float], ...] = field(factory=tuple)
