"""What the workers that a `scale_cluster` spawns are like, and whom they report to."""

from typing import Any, Final

import msgspec
from attrs import frozen
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain import clusters, marks
from runtime.brain.identity import scaled_row_id
from runtime.brain.payloads import AgentDef
from runtime.brain.spawn_agent import Order, order_of
from runtime.brain.tables import AgentRole, Cluster, ClusterAgent

DEFINITION: Final = "worker"
"""The key of a cluster's `config` that says what its new workers are like."""


@frozen
class Recruits:
    """Workers that are to be spawned, checked.

    Attributes:
        orders: What is to be written of each.
        superior: The row id of whom they report to; None where there are none.
    """

    orders: tuple[Order, ...] = ()
    superior: str | None = None


async def recruits(session: AsyncSession, cluster: Cluster, count: int, task_id: str) -> Recruits:
    """Say what the workers that a task spawns in a cluster will be.

    Raises:
        Reject: The cluster has no supervisor, or nothing says what its workers are like.
    """
    if count == 0:
        return Recruits()
    superior = await clusters.supervisor(session, cluster.id)
    if superior is None:
        raise Reject(
            f"Cluster {cluster.id!r} has no supervisor for new workers to report to; "
            "spawn a supervisor first."
        )
    definition, where = await _definition(session, cluster)
    ids = [scaled_row_id(task_id, cluster.id, number) for number in range(count)]
    if (await session.scalars(select(ClusterAgent.id).where(ClusterAgent.id.in_(ids)))).first():
        raise Reject(
            f"Task {task_id} has already scaled cluster {cluster.id!r}, too long ago to tell how; "
            "push another scaling with an id of its own."
        )
    orders = (order_of(definition, cluster.id, row_id, where) for row_id in ids)
    return Recruits(tuple(orders), superior)


async def _definition(session: AsyncSession, cluster: Cluster) -> tuple[AgentDef, str]:
    """Return the cluster's own definition of a worker, else its newest worker's, and its place."""
    given = marks.fields(cluster.config).get(DEFINITION)
    if given is not None:
        where = f"config.{DEFINITION} of cluster {cluster.id!r}"
        return _own(given, where), where
    of_cluster = ClusterAgent.cluster_id == cluster.id
    newest = (
        select(ClusterAgent)
        .where(of_cluster, ClusterAgent.role == AgentRole.WORKER)
        .order_by(ClusterAgent.spawned_at.desc(), ClusterAgent.id.desc())
        .limit(1)
    )
    worker = (await session.scalars(newest)).first()
    if worker is None:
        raise Reject(
            f"Cluster {cluster.id!r} has never had a worker and its config has no "
            f"{DEFINITION!r}, so nothing says what its workers are like; spawn the first one with "
            "spawn_agent, or set config.worker to its name and capabilities."
        )
    return _like(worker), f"the definition of {worker.agent_id}"


def _own(definition: Any, where: str) -> AgentDef:
    worker: str = AgentRole.WORKER
    try:
        given = {"role": worker, "capabilities": []} | definition
        agent = msgspec.convert(given, AgentDef)
    except (msgspec.ValidationError, TypeError) as error:
        raise Reject(f"{where} can't be used ({error}); expected name and capabilities.") from None
    if agent.role != worker:
        raise Reject(f"{where} has the role {agent.role[:50]!r}; expected worker, or none.")
    return agent


def _like(worker: ClusterAgent) -> AgentDef:
    return AgentDef(
        role=AgentRole.WORKER,
        name=marks.fields(worker.config).get(marks.NAME) or worker.agent_id,
        capabilities=worker.capabilities or [],
        skills=worker.skills,
        config=marks.bare(worker.config),
    )
