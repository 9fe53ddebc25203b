"""Who acts: the worker's tree of actors, the handler registry, and what they need of a server.

Knows no server, no environment and no command line; runs on asyncio and on trio.

| module | what is there |
|---|---|
| `worker`, `tree` | `Worker`: its life; the wiring of its actors |
| `fetcher`, `fetch_policy` | takes tasks; decides how many |
| `intake`, `refusals` | where held tasks enter; which queues the server refuses |
| `executor`, `execution`, `idle` | a slot; the steps of a run; slots without work |
| `retry`, `failures` | whether and when a failed task is tried again; what went wrong, in words |
| `concealment` | what went wrong, without the payload's secrets |
| `processes`, `warm_process`, `process_*` | handlers in processes of their own |
| `publisher`, `answers` | tells the server how tasks ended; composes what it is told |
| `repeats` | bounds what is said of a flood of bodies that can't be run |
| `janitor`, `death_watch`, `recovery` | recovers the tasks of the dead; who is dead; what becomes |
| `promoter` | moves delayed tasks whose time has come |
| `order_watch` | looks for what people order: cancelled tasks, paused queues |
| `scheduler`, `due_times` | fires recurring tasks; decides which of their due times |
| `recurrences`, `schedules` | what recurs, as declared; when it is due |
| `reporter` | says of tasks that take a while how far they are |
| `lease_keeper`, `heartbeat` | after a lapse; signs of life |
| `drain`, `stop_request` | the end, in order; until when |
| `handlers`, `payloads`, `context`, `control` | what writers of handlers use |
| `handler`, `signatures` | a handler; what its function says of itself |
| `notes` | what a run notes of itself: progress, and the state that it saves |
| `broker` | `Broker` and `Session`: what the actors need of a server |
| `state`, `ledger`, `settings`, `surroundings` | what the actors share and go by |
| `recent`, `usage` | what the heartbeat tells of the last minute and of the process |
| `instruments` | what measures a worker, if anything does |
| `listener` | who follows a worker, if anybody does |
| `tracing`, `traced` | what traces a worker, if anything does; a run with a span around it |
| `current` | the task on whose behalf code runs, for the log |
"""

from actors.broker import (
    Broker,
    BrokerError,
    Delay,
    LeaseLapsedError,
    Look,
    Member,
    Orders,
    Promoted,
    Recovery,
    Recurring,
    RefusedError,
    Session,
    Settled,
    Settlement,
    Taken,
    UnreachableError,
)
from actors.context import Context
from actors.control import Backoff, Reject, Retry
from actors.current import current_task, name_task
from actors.death_watch import Timing
from actors.handler import Handler, HandlerError
from actors.handlers import Handlers
from actors.instruments import Instruments
from actors.listener import Listener
from actors.notes import StateTooLargeError, TaskLostError
from actors.settings import WorkerSettings
from actors.state import RunningTask, Statistics
from actors.surroundings import Surroundings
from actors.tracing import RunSpan, Tracer
from actors.usage import Usage
from actors.worker import Identity, Worker, WorkerError

__all__ = [
    "Backoff",
    "Broker",
    "BrokerError",
    "Context",
    "Delay",
    "Handler",
    "HandlerError",
    "Handlers",
    "Identity",
    "Instruments",
    "LeaseLapsedError",
    "Listener",
    "Look",
    "Member",
    "Orders",
    "Promoted",
    "Recovery",
    "Recurring",
    "RefusedError",
    "Reject",
    "Retry",
    "RunSpan",
    "RunningTask",
    "Session",
    "Settled",
    "Settlement",
    "StateTooLargeError",
    "Statistics",
    "Surroundings",
    "Taken",
    "TaskLostError",
    "Timing",
    "Tracer",
    "UnreachableError",
    "Usage",
    "Worker",
    "WorkerError",
    "WorkerSettings",
    "current_task",
    "name_task",
]
