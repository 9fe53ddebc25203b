"""Every key and channel that the pool uses, built here and nowhere else.

The contract's keys carry no braces. Those beside a queue `Q` carry the tag `{Q}`, so that all
of one queue's keys would share a slot.

| key | type | holds | expires | written by |
|---|---|---|---|---|
| `Q` | LIST | waiting tasks, the head first | never | producers, release, reclaim |
| `{Q}:inflight:<holder>` | LIST | tasks a worker holds, oldest first | never | take and all below |
| `{Q}:leases` | HASH | holder → `<pulse> <slots>` | never | renew, reclaim, leave |
| `{Q}:holders` | ZSET | holder → last renewal, ms | never | renew, forget, leave |
| `{Q}:settled:<holder>` | STRING | number of the last settled batch | 1 h | settle |
| `{Q}:delayed` | ZSET | task → when it is due, ms by the server | never | settle, delay, promote |
| `{Q}:unique:<id>` | STRING | a task of this id was pushed | `unique_for` | push |
| `{Q}:promoter` | STRING | the holder that looks at the delayed tasks | 1 s | promote |
| `{Q}:recurring` | HASH | recurring task → up to when it was fired, ms | never | fire, recurring |
| `{Q}:dead` | STREAM | dead letters | never | settle, reclaim |
| `{Q}:trimmed` | STRING | how many dead letters have made room | never | settle, reclaim |
| `{Q}:paused` | STRING | workers take nothing; since when, ms by the server | never | pause |
| `brain:cancelled` | ZSET | key of a cancelled task's result → when | never | cancel, settle |
| `{Q}:saved` | HASH | task id → `<number> <JSON>`, a state | never | save; settle, reclaim remove |
| `brain:task:<id>:result` | STRING | the result's JSON | 3600 s | settle, reclaim |
| `brain:task:<id>:progress` | STRING | how far a running task is, JSON | 60 s | report |
| `brain:worker:<id>:heartbeat` | STRING | the heartbeat's JSON | 60 s | heartbeat |
| `brain:mission:<id>:agent` | STRING | row id of a mission's agent | 25 h | delegate_task |
| `brain:missions:look` | STRING | somebody looks for unheard endings | 2 s | the mission watch |
| `brain:events:workers` | STREAM | life cycle events, the newest | never | the events' sender |
"""

from typing import Final

CLUSTER_QUEUE: Final = "brain:cluster_tasks"
MISSION_QUEUE: Final = "brain:mission_tasks"
RESULTS_CHANNEL: Final = "brain:task_results"
HEARTBEAT_PATTERN: Final = "brain:worker:*:heartbeat"
MISSION_LOOK: Final = "brain:missions:look"
EVENTS: Final = "brain:events:workers"

CANCELLED: Final = "brain:cancelled"
"""The marks of cancelled tasks whose bodies haven't been dropped yet, by `result(task_id)`.

One key for all queues: who cancels a task knows its id and needn't know where it is.
"""


RESULT_ID: Final = (len("brain:task:") + 1, -len(":result") - 1)
"""Where the task's id begins and ends in the name of its result's key, as Lua counts bytes."""


def result(task_id: str) -> str:
    """Return the key of a task's result, and the channel on which just that one is published."""
    return f"brain:task:{task_id}:result"


def progress(task_id: str) -> str:
    """Return the key of what the worker of a running task tells of it."""
    return f"brain:task:{task_id}:progress"


def heartbeat(worker_id: str) -> str:
    """Return the key of a worker's heartbeat."""
    return f"brain:worker:{worker_id}:heartbeat"


def inflight(queue: str, holder: str) -> str:
    """Return the key of the list of tasks that one holder has taken from a queue."""
    return f"{{{queue}}}:inflight:{holder}"


def leases(queue: str) -> str:
    """Return the key of a queue's leases."""
    return f"{{{queue}}}:leases"


def holders(queue: str) -> str:
    """Return the key of the holders that may still own an inflight list of a queue."""
    return f"{{{queue}}}:holders"


def settled(queue: str, holder: str) -> str:
    """Return the key of the number of a holder's last settled batch."""
    return f"{{{queue}}}:settled:{holder}"


def dead(queue: str) -> str:
    """Return the key of a queue's dead letters."""
    return f"{{{queue}}}:dead"


def trimmed(queue: str) -> str:
    """Return the key of how many dead letters of a queue made room for newer ones."""
    return f"{{{queue}}}:trimmed"


def paused(queue: str) -> str:
    """Return the key that says that nothing is taken from a queue."""
    return f"{{{queue}}}:paused"


def saved(queue: str) -> str:
    """Return the key of the states that a queue's tasks have saved."""
    return f"{{{queue}}}:saved"


def delayed(queue: str) -> str:
    """Return the key of a queue's delayed tasks."""
    return f"{{{queue}}}:delayed"


def promoter(queue: str) -> str:
    """Return the key of the holder that looks at the delayed tasks."""
    return f"{{{queue}}}:promoter"


def unique(queue: str, task_id: str) -> str:
    """Return the key that says that a task of this id was pushed not long ago."""
    return f"{{{queue}}}:unique:{task_id}"


def recurring(queue: str) -> str:
    """Return the key that says how far the recurring tasks of a queue have been fired."""
    return f"{{{queue}}}:recurring"


def mission_agent(task_id: str) -> str:
    """Return the key that says which agent a delegated mission keeps busy."""
    return f"brain:mission:{task_id}:agent"
