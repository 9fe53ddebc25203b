"""`collect_metrics`: measures a cluster and the pool that it runs on, once per task.

Redis is asked first, outside of any transaction; then one short transaction counts the agents,
inserts one row into `cluster_metrics` and stores the cluster's load. The row's id derives from the
task's: a task that is run again finds its row and answers from it.
"""

from collections import Counter
from typing import Any, Final
from uuid import UUID, uuid5

import anyio
from attrs import frozen
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain import checks, clusters
from runtime.brain.database import transaction
from runtime.brain.payloads import CollectMetrics
from runtime.brain.pool_figures import Backlog, Totals, backlogs, beats, totals
from runtime.brain.services import Services
from runtime.brain.tables import AgentStatus, ClusterAgent, ClusterMetrics, ClusterStatus

# Fixed for ever: another value would let redelivered tasks write a second row.
MEASUREMENTS: Final = UUID("5a1d2c37-7f0e-5b8e-9a57-2f6f3b1c8e42")

NEUTRAL: Final = 0
"""What is stored for a figure that isn't measured where its column forbids null."""

UNMEASURED: Final = {
    "cpu_usage": "no living worker's heartbeat tells it",
    "memory_usage": "no living worker's heartbeat tells it",
    "tasks_per_minute": "no living worker's heartbeat tells it",
    "avg_response_time": "no heartbeat tells of a handler that ended in its last minute",
    "error_rate": "no heartbeat tells of a task that was answered in its last minute",
    "queue_length": "Redis doesn't tell it",
    "queue_wait_time": "Redis doesn't tell it, or the next task can't be read",
}
"""Why a figure may be missing, by its column."""

_STRICT: Final = text("""
    SELECT attname FROM pg_attribute
     WHERE attrelid = to_regclass('cluster_metrics') AND attnotnull
""")


@frozen
class Seen:
    """What Redis told; None where it didn't."""

    backlogs: tuple[Backlog, ...] | None = None
    totals: Totals | None = None


async def collect_metrics(
    payload: CollectMetrics, task_id: str, services: Services
) -> dict[str, Any]:
    """Measure a cluster, store one row, and return what it holds.

    A cancellation writes nothing, unless it comes during the commit; running the task again is
    safe either way.

    Raises:
        Reject: There is no such cluster, or it is destroyed.
        DatabaseUnreachableError: No connection could be made.
    """
    cluster_id = checks.identifier("cluster_id", payload.cluster_id)
    row_id = str(uuid5(MEASUREMENTS, task_id))
    figures = pool_figures(await _look(services))

    async def work(session: AsyncSession) -> dict[str, Any]:
        cluster = await clusters.locked(session, cluster_id)
        strict = set(await session.scalars(_STRICT))
        before = await session.get(ClusterMetrics, row_id)
        if before is not None:
            if before.cluster_id != cluster_id:
                raise Reject(
                    f"Task {task_id} has already measured cluster {before.cluster_id!r}; "
                    "push another task with an id of its own."
                )
            return _answer_again(_columns(before), strict)
        if cluster.status == ClusterStatus.DESTROYED:
            raise Reject(f"Cluster {cluster_id!r} is destroyed; name another cluster.")
        agents = agent_figures(await _statuses(session, cluster_id))
        measured = {"timestamp": services.now(), **figures, **agents}
        row = {"id": row_id, "cluster_id": cluster_id} | _storable(measured, strict)
        await session.execute(insert(ClusterMetrics).values(row))
        cluster.load_percentage = load(agents)
        return _answer({"id": row_id, "cluster_id": cluster_id} | measured, strict)

    return await transaction(services.engine, work)


def pool_figures(seen: Seen) -> dict[str, float | None]:
    """Return the figures of the pool, by column; None is what isn't measured."""
    found = seen.totals or Totals(workers=0, cpu=None, memory=None, answered=None)
    answered = found.answered
    lengths, waits = seen.backlogs, [backlog.oldest_s for backlog in seen.backlogs or ()]
    empty = lengths is not None and not any(backlog.waiting for backlog in lengths)
    told = [wait for wait in waits if wait is not None]
    return {
        "cpu_usage": found.cpu,
        "memory_usage": found.memory,
        "tasks_per_minute": None if answered is None else float(answered.tasks),
        "avg_response_time": (
            round(answered.seconds / answered.ran * 1000, 3) if answered and answered.ran else None
        ),
        "error_rate": (
            round(answered.failed / answered.tasks * 100, 2)
            if answered and answered.tasks
            else None
        ),
        "queue_length": None if lengths is None else sum(backlog.waiting for backlog in lengths),
        "queue_wait_time": 0.0 if empty else max(told, default=None),
    }


def agent_figures(statuses: Counter[str]) -> dict[str, int]:
    """Return the numbers of a cluster's agents, by column."""
    return {
        "active_agents": statuses[AgentStatus.ACTIVE],
        "idle_agents": statuses[AgentStatus.IDLE],
        "busy_agents": statuses[AgentStatus.BUSY],
        "failed_agents": statuses[AgentStatus.FAILED],
    }


def load(agents: dict[str, Any]) -> float:
    """Return a cluster's load: the share of its living agents that are busy, in percent."""
    living = agents["active_agents"] + agents["idle_agents"] + agents["busy_agents"]
    return round(agents["busy_agents"] / living * 100, 2) if living else 0.0


async def _look(services: Services) -> Seen:
    """Ask Redis, for a bounded time; what it doesn't tell isn't measured."""
    found = Seen()
    try:
        with anyio.fail_after(services.probe_timeout):
            waiting = await backlogs(services.redis, services.clock())
            found = Seen(backlogs=waiting)
            found = Seen(backlogs=waiting, totals=totals(await beats(services.redis)))
    except (TimeoutError, OSError, RedisError):
        pass
    return found


async def _statuses(session: AsyncSession, cluster_id: str) -> Counter[str]:
    counted = (
        select(ClusterAgent.status, func.count().label("number"))
        .where(ClusterAgent.cluster_id == cluster_id)
        .group_by(ClusterAgent.status)
    )
    rows = await session.execute(counted)
    return Counter({row.status: row.number for row in rows})


def _storable(measured: dict[str, Any], strict: set[str]) -> dict[str, Any]:
    return {
        name: NEUTRAL if value is None and name in strict else value
        for name, value in measured.items()
    }


def _columns(row: ClusterMetrics) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in ClusterMetrics.__table__.columns}


def _answer(columns: dict[str, Any], strict: set[str]) -> dict[str, Any]:
    """Tell what was measured, and why the rest wasn't."""
    notes = [
        f"{name} isn't measured: {why}."
        + (f" The table takes no null; {NEUTRAL} is stored." if name in strict else "")
        for name, why in UNMEASURED.items()
        if columns[name] is None
    ]
    return columns | {
        "timestamp": f"{columns['timestamp'].isoformat(timespec='milliseconds')}Z",
        "load_percentage": load(columns),
        "notes": notes,
    }


def _answer_again(columns: dict[str, Any], strict: set[str]) -> dict[str, Any]:
    """Tell what an earlier run of the task has stored."""
    answer = _answer(columns, set())
    if doubtful := [name for name in UNMEASURED if name in strict and columns[name] == NEUTRAL]:
        answer["notes"].append(
            f"The row is that of an earlier run, and the table takes no null: {NEUTRAL} may stand "
            f"for what wasn't measured in {', '.join(doubtful)}."
        )
    return answer
