"""`spawn_agent`: adds one agent to a cluster, once per task.

All is decided and written in one transaction under the lock of the cluster's row, so of two
tasks that want the last place, one gets it. The agent's id derives from the task's: a task that
is run again finds its agent and gives the same answer, whatever became of the cluster meanwhile.
"""

from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain import checks, clusters
from runtime.brain.database import transaction
from runtime.brain.identity import agent_row_id, public_agent_id
from runtime.brain.marks import NAME, POOL, SPAWN
from runtime.brain.payloads import AgentDef, SpawnAgent
from runtime.brain.services import Services
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent, ClusterStatus

_COMING_UP: Final = frozenset({ClusterStatus.PLANNING, ClusterStatus.SPAWNING})
_GROWING: Final = _COMING_UP | {ClusterStatus.ACTIVE, ClusterStatus.SCALING_UP}
_ADVICE: Final[dict[str, str]] = {
    ClusterStatus.HIBERNATED: "wake it with scale_cluster first",
    ClusterStatus.DESTROYING: "name another cluster",
    ClusterStatus.DESTROYED: "name another cluster",
}


@frozen
class Order:
    """A checked `spawn_agent` task: what is to be written, but for what the cluster decides."""

    id: str
    cluster_id: str
    role: AgentRole
    name: str
    capabilities: list[str]
    skills: list[str]
    config: dict[str, Any]
    supervisor_id: str | None = None


@frozen
class Roster:
    """Who lives in a cluster: its supervisor's row id, if any, and the number of its workers."""

    supervisor_id: str | None
    workers: int


async def spawn_agent(payload: SpawnAgent, task_id: str, services: Services) -> dict[str, Any]:
    """Add an agent to a cluster and return what was spawned.

    A cancellation spawns nothing, unless it comes during the commit; running the task again is
    safe either way.

    Raises:
        Reject: The task can't be done as it stands: says why, and what to do.
        DatabaseUnreachableError: No connection could be made.
    """
    order = checked(payload, task_id)

    async def work(session: AsyncSession) -> dict[str, Any]:
        cluster = await clusters.locked(session, order.cluster_id)
        agent = await session.get(ClusterAgent, order.id)
        if agent is None:
            return answer(await _spawn(session, cluster, order, services.now()))
        _same(agent, order, task_id)
        return answer(agent)

    return await transaction(services.engine, work)


def checked(payload: SpawnAgent, task_id: str) -> Order:
    """Check all of a task that can be judged without the database.

    Raises:
        Reject: A field can't be used: says which, what came and what was expected.
    """
    supervisor_id = payload.supervisor_id
    if supervisor_id is not None:
        checks.identifier("supervisor_id", supervisor_id)
        if payload.agent_def.role == AgentRole.SUPERVISOR:
            raise Reject("A supervisor reports to nobody; leave out supervisor_id.")
    cluster_id = checks.identifier("cluster_id", payload.cluster_id)
    order = order_of(payload.agent_def, cluster_id, agent_row_id(task_id))
    return evolve(order, supervisor_id=supervisor_id)


def order_of(agent: AgentDef, cluster_id: str, row_id: str, where: str = "agent_def") -> Order:
    """Check the definition of an agent and return what is to be written.

    Args:
        agent: The definition.
        cluster_id: Its cluster, checked.
        row_id: Its primary key.
        where: The definition's place, for people.

    Raises:
        Reject: A field can't be used: says which, what came and what was expected.
    """
    if agent.role not in AgentRole.__members__.values():
        expected = ", ".join(AgentRole)
        raise Reject(f"{where}.role is {agent.role[:50]!r}; expected one of {expected}.")
    config = checks.json_object(f"{where}.config", agent.config or {})
    for key in (NAME, SPAWN, POOL):
        if key in config and not (key == NAME and config[key] == agent.name):
            raise Reject(
                f"{where}.config holds {key!r}, which spawn_agent writes itself; use another key."
            )
    return Order(
        id=row_id,
        cluster_id=cluster_id,
        role=AgentRole(agent.role),
        name=checks.name(f"{where}.name", agent.name),
        capabilities=checks.names(f"{where}.capabilities", agent.capabilities),
        skills=checks.names(f"{where}.skills", agent.skills or []),
        config=config,
    )


def answer(agent: ClusterAgent) -> dict[str, Any]:
    """Tell what was spawned, from its row alone and as it was then: always the same."""
    config = agent.config or {}
    spawn = config.get(SPAWN, {})
    return {
        "id": agent.id,
        "agent_id": agent.agent_id,
        "cluster_id": agent.cluster_id,
        "role": str(agent.role),
        "name": config.get(NAME),
        "status": AgentStatus.ACTIVE.value,
        "supervisor_id": spawn.get("supervisor_id", agent.supervisor_id),
        "current_workers": spawn.get("current_workers"),
    }


def refuse(cluster: Cluster, roster: Roster, order: Order) -> None:
    """Say no to what the cluster's state doesn't allow.

    Raises:
        Reject: The cluster takes no such agent now.
    """
    worker, supervisor = order.role is AgentRole.WORKER, order.role is AgentRole.SUPERVISOR
    grows = cluster.status in _GROWING or (
        cluster.status == ClusterStatus.SCALING_DOWN and not worker
    )
    # Without a supervisor a cluster that sleeps can't be woken.
    wakes = cluster.status == ClusterStatus.HIBERNATED and supervisor
    if not grows and not wakes:
        advice = _ADVICE.get(cluster.status, "wait until it is active")
        raise Reject(
            f"Cluster {cluster.id!r} is {cluster.status} and takes no {order.role}; {advice}."
        )
    if supervisor and roster.supervisor_id is not None:
        raise Reject(
            f"Cluster {cluster.id!r} already has a supervisor, {roster.supervisor_id}; "
            "a cluster has one: stop it first, or spawn a lead."
        )
    if worker and roster.workers >= cluster.max_workers:
        raise Reject(
            f"Cluster {cluster.id!r} has {roster.workers} workers of at most "
            f"{cluster.max_workers}; stop one or raise its max_workers."
        )


async def _spawn(
    session: AsyncSession, cluster: Cluster, order: Order, now: datetime
) -> ClusterAgent:
    roster = await _roster(session, cluster.id)
    refuse(cluster, roster, order)
    superior = await _superior(session, order, roster)
    workers = roster.workers + (order.role is AgentRole.WORKER)
    agent = new_agent(order, superior, workers, now)
    session.add(agent)
    await session.flush()
    if order.role is AgentRole.SUPERVISOR:
        await _take_over(session, agent)
    if cluster.status in _COMING_UP and (
        agent.role == AgentRole.SUPERVISOR or roster.supervisor_id
    ):
        cluster.status = ClusterStatus.ACTIVE
        cluster.started_at = cluster.started_at or now
    cluster.current_workers = workers
    cluster.last_active = now
    return agent


def new_agent(order: Order, superior: str | None, workers: int, now: datetime) -> ClusterAgent:
    """Return the row of an agent that is to be spawned.

    Args:
        order: What is to be written.
        superior: The row id of whom it reports to.
        workers: The cluster's living workers, this one included.
        now: When it is spawned.
    """
    return ClusterAgent(
        id=order.id,
        cluster_id=order.cluster_id,
        agent_id=public_agent_id(order.role, order.id),
        role=order.role,
        supervisor_id=superior,
        capabilities=order.capabilities,
        skills=order.skills,
        # The name has no column. What the answer tells and time may change is kept beside it.
        config=order.config
        | {NAME: order.name, SPAWN: {"supervisor_id": superior, "current_workers": workers}},
        status=AgentStatus.ACTIVE,
        spawned_at=now,
        last_active=now,
    )


def _same(agent: ClusterAgent, order: Order, task_id: str) -> None:
    if (agent.cluster_id, agent.role) != (order.cluster_id, order.role):
        raise Reject(
            f"Task {task_id} has already spawned {agent.agent_id} in cluster "
            f"{agent.cluster_id!r}; push another agent with an id of its own."
        )


async def _roster(session: AsyncSession, cluster_id: str) -> Roster:
    return Roster(
        supervisor_id=await clusters.supervisor(session, cluster_id),
        workers=await clusters.count_workers(session, cluster_id),
    )


async def _superior(session: AsyncSession, order: Order, roster: Roster) -> str | None:
    if order.role is AgentRole.SUPERVISOR:
        return None
    if order.supervisor_id is not None:
        return (await clusters.superior(session, order.cluster_id, order.supervisor_id)).id
    if roster.supervisor_id is None:
        raise Reject(
            f"Cluster {order.cluster_id!r} has no supervisor for the {order.role} to "
            "report to; spawn a supervisor first."
        )
    return roster.supervisor_id


async def _take_over(session: AsyncSession, supervisor: ClusterAgent) -> None:
    """Let those who report to nobody, or to a supervisor that is no more, report to the new one."""
    others = select(ClusterAgent.id).where(
        ClusterAgent.cluster_id == supervisor.cluster_id,
        ClusterAgent.role == AgentRole.SUPERVISOR,
        ClusterAgent.id != supervisor.id,
    )
    await session.execute(
        update(ClusterAgent)
        .where(
            ClusterAgent.cluster_id == supervisor.cluster_id,
            ClusterAgent.role != AgentRole.SUPERVISOR,
            ClusterAgent.status.in_(clusters.LIVE),
            or_(ClusterAgent.supervisor_id.is_(None), ClusterAgent.supervisor_id.in_(others)),
        )
        .values(supervisor_id=supervisor.id)
        .execution_options(synchronize_session=False)
    )
