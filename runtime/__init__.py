"""Where it runs: everything that touches the outside.

| where | what |
|---|---|
| `task_queue` | `TaskQueue`, the producer's side |
| `lazy_session` | connecting at the first use |
| `producer_session` | what an open `TaskQueue` holds: connections, and who waits |
| `whereabouts`, `task_state` | where a task is; the classes that say so |
| `heartbeats` | what living workers say of themselves, and so which queues there are |
| `outgoing` | what it sends: tasks checked, encoded, in batches |
| `waiters` | waiting for results without polling |
| `progress` | how far a running task is |
| `errors` | what is raised on purpose |
| `redis` | the Redis broker: keys, scripts, connections, leases |
| `memory` | the in-memory broker, for tests: `from runtime.memory import MemoryBroker` |
| `embedded` | private servers, for running without any configuration |
| `brain` | BRAiN's own handlers |
| `demo` | the demonstration |
| `traces` | what a traced process tells of its tasks |
| `cli`, `composition` | the command line; where concrete parts meet |
| `loop_watch`, `logs`, `state_file` | a blocked loop; the log; the sign of life for `health` |

Importing this package alone imports none of that: the names below are looked up at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runtime.redis.broker import RedisBroker, RedisSettings
    from runtime.task_queue import TaskQueue
    from runtime.task_state import (
        TaskAnswered,
        TaskCancelled,
        TaskDead,
        TaskDelayed,
        TaskRunning,
        TaskState,
        TaskUnknown,
        TaskWaiting,
    )

__all__ = [
    "RedisBroker",
    "RedisSettings",
    "TaskAnswered",
    "TaskCancelled",
    "TaskDead",
    "TaskDelayed",
    "TaskQueue",
    "TaskRunning",
    "TaskState",
    "TaskUnknown",
    "TaskWaiting",
]

_HOMES: Final = {
    "RedisBroker": "runtime.redis.broker",
    "RedisSettings": "runtime.redis.broker",
    "TaskQueue": "runtime.task_queue",
    "TaskAnswered": "runtime.task_state",
    "TaskCancelled": "runtime.task_state",
    "TaskDead": "runtime.task_state",
    "TaskDelayed": "runtime.task_state",
    "TaskRunning": "runtime.task_state",
    "TaskState": "runtime.task_state",
    "TaskUnknown": "runtime.task_state",
    "TaskWaiting": "runtime.task_state",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
