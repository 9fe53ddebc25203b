"""Finding and locking a cluster, and who counts as one of its living agents."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain.tables import AgentStatus, Cluster

# An agent that failed doesn't work, so it neither fills a worker's place nor the supervisor's.
LIVE: Final = (AgentStatus.ACTIVE, AgentStatus.IDLE, AgentStatus.BUSY)


async def locked(session: AsyncSession, cluster_id: str) -> Cluster:
    """Return a cluster, locked until the transaction's end against others who change it.

    The lock lets others insert rows that refer to the cluster, such as metrics.

    Raises:
        Reject: There is no such cluster.
    """
    cluster = await session.get(Cluster, cluster_id, with_for_update={"key_share": True})
    if cluster is None:
        raise Reject(f"There is no cluster {cluster_id!r}; check cluster_id.")
    return cluster
