"""What is to be seen at a moment: plain values, so that a view of them is a plain function."""

from enum import StrEnum

from attrs import frozen


class WorkerState(StrEnum):
    """How a worker process is."""

    STARTING = "starting"
    ALIVE = "alive"
    KILLED = "killed"


class MissionState(StrEnum):
    """How a mission is."""

    WAITING = "waiting"
    RUNNING = "running"
    ORPHANED = "orphaned"
    """The worker that has it was killed, and nobody has taken it over yet."""

    ANSWERED = "answered"
    FAILED = "failed"


@frozen
class ClusterRow:
    """A cluster, by the database."""

    name: str
    status: str
    workers: int
    health: float
    load: float
    completed: int


@frozen
class QueueRow:
    """A queue, by the server: how many tasks wait, are held, are delayed, are dead letters."""

    name: str
    waiting: int
    in_flight: int
    delayed: int
    dead: int


@frozen
class WorkerRow:
    """A worker process.

    Attributes:
        name: its name.
        state: how it is.
        pid: its process.
        holds: tasks that it holds, by the server.
        slots: how many it can run at once.
        answered: answers of its that were heard.
        renewed_s: seconds since its lease was renewed; None if it has none.
    """

    name: str
    state: WorkerState
    pid: int
    holds: int
    slots: int
    answered: int
    renewed_s: float | None


@frozen
class AgentRow:
    """An agent of the cluster, by the database; `mission` is what it is busy with, if it is."""

    agent_id: str
    name: str
    role: str
    status: str
    mission: str | None


@frozen
class MissionRow:
    """A mission.

    Attributes:
        task_id: its task.
        label: what it is called.
        state: how it is.
        worker: who has it, or has answered it.
        done: how far its handler says that it is; None if it has said nothing.
        total: how far it has to go; None if that isn't known.
        answer: what came of it, in words.
    """

    task_id: str
    label: str
    state: MissionState
    worker: str | None = None
    done: float | None = None
    total: float | None = None
    answer: str | None = None


@frozen
class Event:
    """Something that happened.

    Attributes:
        at_s: seconds since the start.
        text: what, in words.
        headline: whether it says what happens from now on, rather than what has happened.
    """

    at_s: float
    text: str
    headline: bool = False


@frozen
class Snapshot:
    """All of it at one moment."""

    headline: str
    elapsed_s: float
    cluster: ClusterRow | None = None
    queues: tuple[QueueRow, ...] = ()
    workers: tuple[WorkerRow, ...] = ()
    agents: tuple[AgentRow, ...] = ()
    missions: tuple[MissionRow, ...] = ()
    events: tuple[Event, ...] = ()
