"""How delegated missions end: their agents are freed and counted, once each.

An agent that was given a mission is `busy` and bears the mission's id in its marks. Whoever learns
of the mission's end frees the agent if it still bears that id (compare and set, under the locks of
the cluster's and the agent's rows), so of any number of witnesses one counts it.

| who learns of it | how |
|---|---|
| `mission_watch`, in each worker | it hears the answer when it is published |
| `mend`, for that watch and `health_check` | it looks for the answers of what keeps agents busy |
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec
from attrs import evolve, frozen
from sqlalchemy import Text, and_, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from runtime.brain import clusters, marks
from runtime.brain.database import transaction
from runtime.brain.services import Services
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent
from runtime.redis import keys
from runtime.task_state import (
    TaskAnswered,
    TaskCancelled,
    TaskDead,
    TaskDelayed,
    TaskRunning,
    TaskUnknown,
    TaskWaiting,
)

_LONGEST_ERROR: Final = 500
"""Characters of a mission's error that are kept in `last_error`."""

_MARKED_STOPPING: Final = r'"stopping"\s*:\s*true'
_MARKED_MISSION: Final = r'"mission"\s*:\s*\{'
_SEARCHED_AFTER: Final = timedelta(minutes=10)
"""By then a mission is pushed whose worker died between giving it to an agent and pushing it."""

_FREE: Final = (AgentStatus.IDLE, AgentStatus.ACTIVE)


@frozen
class Ending:
    """How a mission ended.

    Attributes:
        success: Whether its handler returned.
        seconds: How long it ran; None if it never did.
        error: Why it failed; None if it didn't, or nothing is known.
    """

    success: bool
    seconds: float | None = None
    error: str | None = None


@frozen
class _Result:
    error: str = ""


@frozen
class _Answer:
    success: bool = False
    duration_ms: float | None = None
    result: _Result = _Result()


def read_ending(answer: bytes | str) -> Ending:
    """Read a mission's answer; one that can't be read is a failure."""
    try:
        found = msgspec.json.decode(answer, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Ending(success=False, error="its answer can't be read")
    return Ending(
        success=found.success,
        seconds=None if found.duration_ms is None else found.duration_ms / 1000,
        error=None if found.success else found.result.error or None,
    )


async def end(
    session: AsyncSession, row_id: str, mission_id: str, ending: Ending | None, now: datetime
) -> bool:
    """Free an agent from a mission that has ended, and count it; return whether that was to do.

    It isn't if the agent isn't busy with that mission: somebody else was first.

    Args:
        session: A transaction that holds no lock yet.
        row_id: The agent.
        mission_id: The mission.
        ending: How it ended; None if it never came about, which isn't counted.
        now: When.
    """
    cluster_id = await session.scalar(
        select(ClusterAgent.cluster_id).where(ClusterAgent.id == row_id)
    )
    if cluster_id is None:
        return False
    cluster = await clusters.locked(session, cluster_id)
    agent = await session.get_one(ClusterAgent, row_id, with_for_update=True)
    noted = marks.of_agent(agent.config)
    if noted.mission is None or noted.mission.task_id != mission_id:
        return False
    agent.config = marks.noted(agent.config, _after(agent, noted, mission_id, ending))
    if ending is not None:
        _count(cluster, agent, ending)
    agent.last_active = cluster.last_active = now
    if agent.status == AgentStatus.BUSY:
        agent.status = AgentStatus.IDLE
        if noted.stopping:
            await _stop(session, cluster, agent, now)
    return True


async def mend(
    services: Services, cluster_id: str | None = None, *, search: bool = False
) -> list[str]:
    """Free agents whose mission has ended unnoticed; return what was found, in words.

    That is an agent busy with a mission that has its answer, or of which nothing was heard for
    so long that it can't come any more; and an agent that was to stop with its mission and still
    lives without one. No transaction is open while Redis is asked. A cancellation leaves some of
    it undone.

    Args:
        services: The database and Redis.
        cluster_id: Whose agents; by default all.
        search: Whether missions without an answer are looked for, ten minutes after they were
            given: one that is nowhere any more, or a dead letter whose answer has expired, has
            ended too.

    Raises:
        RedisError: Redis doesn't answer.
        PoolError: Redis doesn't answer, or refuses a search.
        DatabaseUnreachableError: No connection could be made.
    """
    engaged = await transaction(services.engine, lambda session: _engaged(session, cluster_id))
    found: list[str] = []
    for agent in engaged:
        mission = marks.of_agent(agent.config).mission
        if mission is None:
            found += await _stop_late(services, agent)
            continue
        answer = await services.redis.get(keys.result(mission.task_id))
        if answer is not None:
            ending, why = read_ending(answer), "which has ended"
        elif services.now() > mission.until:
            ending = Ending(success=False, error=f"nothing was heard of mission {mission.task_id}")
            why = f"of which nothing was heard since {mission.since:%Y-%m-%d %H:%M:%S} UTC"
        elif search and services.now() > mission.since + _SEARCHED_AFTER:
            lost = await _lost(services, mission.task_id)
            if lost is None:
                continue
            ending = Ending(success=False, error=f"mission {mission.task_id} {lost}")
            why = f"which {lost}"
        else:
            continue
        if await free(services, agent.id, mission.task_id, ending):
            found.append(
                f"Agent {agent.agent_id} was still busy with mission {mission.task_id}, {why}; "
                "it is freed."
            )
    return found


async def _lost(services: Services, mission_id: str) -> str | None:
    """Say what has become of a mission that has no answer; None if it may still come to one."""
    match await services.queue.get_task(mission_id, queue=keys.MISSION_QUEUE):
        case TaskUnknown():
            return "is nowhere any more"
        case TaskDead(reason=reason):
            return f"is a dead letter ({reason})"
        case TaskCancelled():
            return "was cancelled"
        case TaskWaiting() | TaskDelayed() | TaskRunning() | TaskAnswered():
            return None


async def free(services: Services, row_id: str, mission_id: str, ending: Ending | None) -> bool:
    """Free an agent from its mission in a transaction of its own; see `end`.

    Raises:
        DatabaseUnreachableError: No connection could be made.
    """

    async def work(session: AsyncSession) -> bool:
        return await end(session, row_id, mission_id, ending, services.now())

    return await transaction(services.engine, work)


def _after(
    agent: ClusterAgent, noted: marks.AgentMarks, mission_id: str, ending: Ending | None
) -> marks.AgentMarks:
    """Return an agent's marks after its mission."""
    if ending is None:
        return noted.rid_of(mission_id)
    timed = agent.tasks_completed + agent.tasks_failed if noted.timed is None else noted.timed
    return evolve(noted, mission=None, timed=timed + (ending.seconds is not None))


def _count(cluster: Cluster, agent: ClusterAgent, ending: Ending) -> None:
    """Count a mission for its agent, whose marks already do, and for its cluster."""
    if ending.seconds is not None:
        timed = marks.of_agent(agent.config).timed or 1
        agent.avg_task_duration += (ending.seconds - agent.avg_task_duration) / timed
    if ending.success:
        agent.tasks_completed += 1
        cluster.tasks_completed += 1
        return
    agent.tasks_failed += 1
    cluster.tasks_failed += 1
    if ending.error is not None:
        agent.last_error = ending.error.replace("\0", "")[:_LONGEST_ERROR]


async def _stop(
    session: AsyncSession, cluster: Cluster, agent: ClusterAgent, now: datetime
) -> None:
    """Stop an agent that was to stop when its mission ends."""
    agent.status, agent.stopped_at = AgentStatus.STOPPED, now
    agent.config = marks.noted(agent.config, evolve(marks.of_agent(agent.config), stopping=False))
    if agent.role == AgentRole.WORKER:
        cluster.current_workers = await clusters.count_workers(session, cluster.id)


async def _stop_late(services: Services, agent: ClusterAgent) -> list[str]:
    """Stop an agent that somebody else has freed without knowing that it was to stop."""

    async def work(session: AsyncSession) -> bool:
        cluster = await clusters.locked(session, agent.cluster_id)
        found = await session.get_one(ClusterAgent, agent.id, with_for_update=True)
        noted = marks.of_agent(found.config)
        if found.status not in _FREE or noted.mission is not None or not noted.stopping:
            return False
        await _stop(session, cluster, found, services.now())
        return True

    if not await transaction(services.engine, work):
        return []
    return [f"Agent {agent.agent_id} was to stop when its task ended, which it has; it is stopped."]


async def _engaged(session: AsyncSession, cluster_id: str | None) -> list[ClusterAgent]:
    """Return the agents that are busy with a mission, or are to stop and still live."""
    # As text, which neither cares whether the column is json or jsonb nor fails on what is in it.
    config = cast(ClusterAgent.config, Text)
    late = and_(ClusterAgent.status.in_(_FREE), config.regexp_match(_MARKED_STOPPING))
    busy = and_(ClusterAgent.status == AgentStatus.BUSY, config.regexp_match(_MARKED_MISSION))
    chosen = select(ClusterAgent).where(or_(busy, late)).order_by(ClusterAgent.id)
    if cluster_id is not None:
        chosen = chosen.where(ClusterAgent.cluster_id == cluster_id)
    return list(await session.scalars(chosen))
