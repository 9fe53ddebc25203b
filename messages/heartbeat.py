"""A worker's sign of life."""

from datetime import datetime

from attrs import field, frozen


@frozen
class Answered:
    """What was answered in a time.

    Attributes:
        tasks: how many, failures included.
        failed: those of them that failed.
        ran: those of them whose handler ran.
        seconds: how long the handlers of these took, in all; of the last run, where there were
            several.
    """

    tasks: int = 0
    failed: int = 0
    ran: int = 0
    seconds: float = 0.0


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
        cpu_percent: how much of one processor the process has used since the heartbeat before,
            or since it began; None if that isn't measured, as for the other two.
        memory_bytes: what of its memory is resident.
        memory_percent: that, in percent of what the process may use.
        last_minute: what was answered in the 60 s before, by queue; queues without answers are
            left out.
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
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    memory_percent: float | None = None
    last_minute: dict[str, Answered] = field(factory=dict)
