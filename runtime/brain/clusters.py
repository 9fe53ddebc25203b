"""Finding and locking a cluster, who counts as one of its living agents, and who leads them."""

from typing import Final

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from actors import Reject
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent

# An agent that failed doesn't work, so it neither fills a worker's place nor the supervisor's.
LIVE: Final = (AgentStatus.ACTIVE, AgentStatus.IDLE, AgentStatus.BUSY)


async def locked(session: AsyncSession, cluster_id: str) -> Cluster:
    """Return a cluster, locked until the transaction's end against others who change it.

    The lock lets others insert rows that refer to the cluster, such as metrics.

    Raises:
        Reject: There is no such cluster.
    """
    return _known(
        cluster_id, await session.get(Cluster, cluster_id, with_for_update={"key_share": True})
    )


async def read(session: AsyncSession, cluster_id: str) -> Cluster:
    """Return a cluster as it is now; others may change it meanwhile.

    Raises:
        Reject: There is no such cluster.
    """
    return _known(cluster_id, await session.get(Cluster, cluster_id))


def live(cluster_id: str) -> ColumnElement[bool]:
    """Return the condition that an agent is a living one of a cluster."""
    return and_(ClusterAgent.cluster_id == cluster_id, ClusterAgent.status.in_(LIVE))


async def count_workers(session: AsyncSession, cluster_id: str) -> int:
    """Count a cluster's living workers.

    Counted, not remembered: others write these tables too, and a count under the lock is right.
    """
    workers = select(func.count()).where(live(cluster_id), ClusterAgent.role == AgentRole.WORKER)
    return await session.scalar(workers) or 0


async def supervisor(session: AsyncSession, cluster_id: str) -> str | None:
    """Return the row id of a cluster's living supervisor, if it has one."""
    found = select(ClusterAgent.id).where(
        live(cluster_id), ClusterAgent.role == AgentRole.SUPERVISOR
    )
    return (await session.scalars(found.limit(1))).first()


async def superior(session: AsyncSession, cluster_id: str, row_id: str) -> ClusterAgent:
    """Return the living supervisor or lead of a cluster that a task names.

    Raises:
        Reject: It is no such agent: says what it is.
    """
    agent = await session.get(ClusterAgent, row_id)
    what = f"supervisor_id {row_id!r}"
    if agent is None:
        raise Reject(f"{what} is no agent; give the id of a supervisor or lead, or leave it out.")
    if agent.cluster_id != cluster_id:
        raise Reject(f"{what} is an agent of another cluster, {agent.cluster_id!r}.")
    if agent.role not in (AgentRole.SUPERVISOR, AgentRole.LEAD):
        raise Reject(f"{what} is a {agent.role}; agents report to a supervisor or a lead.")
    if agent.status not in LIVE:
        raise Reject(f"{what} is {agent.status}; name a living supervisor or lead.")
    return agent


def _known(cluster_id: str, cluster: Cluster | None) -> Cluster:
    if cluster is None:
        raise Reject(f"There is no cluster {cluster_id!r}; check cluster_id.")
    return cluster
