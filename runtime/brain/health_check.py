"""`health_check`: looks at a cluster's agents and servers, and stores its health score.

The servers are asked first, outside of any transaction, and agents whose missions have ended
unnoticed are freed; then one short transaction reads the agents and writes the score under the lock
of the cluster's row.
"""

from collections import Counter
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain import checks, clusters, missions
from runtime.brain.database import transaction
from runtime.brain.health import Health, assess, judge_queues, judge_services
from runtime.brain.payloads import HealthCheck
from runtime.brain.probes import Probes, probe_all
from runtime.brain.services import Services
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent, ClusterStatus
from runtime.errors import PoolError


async def health_check(payload: HealthCheck, services: Services) -> dict[str, Any]:
    """Look at a cluster and return its score, every finding, and the figures behind them.

    When the database doesn't answer, that is the answer: score 0, nothing stored. A cancellation
    leaves the score as it was, unless it comes during the commit.

    Raises:
        Reject: There is no such cluster, or it is destroyed.
    """
    cluster_id = checks.identifier("cluster_id", payload.cluster_id)
    probes = await probe_all(services)
    if probes.database.error is not None:
        return _unseen(cluster_id, probes, services)
    mended = await _mended(cluster_id, probes, services)

    async def work(session: AsyncSession) -> dict[str, Any]:
        cluster = await clusters.locked(session, cluster_id)
        if cluster.status == ClusterStatus.DESTROYED:
            raise Reject(f"Cluster {cluster_id!r} is destroyed; name another cluster.")
        of_cluster = select(ClusterAgent).where(ClusterAgent.cluster_id == cluster_id)
        agents = list(await session.scalars(of_cluster.order_by(ClusterAgent.agent_id)))
        health = assess(cluster, agents, probes, services.now())
        cluster.health_score = health.score
        seen = _seen(cluster, agents, probes, health) | _when(services)
        findings = mended + seen["findings"]
        return seen | {"findings": findings, "healthy": not findings}

    return await transaction(services.engine, work)


async def _mended(cluster_id: str, probes: Probes, services: Services) -> list[str]:
    """Free agents whose missions have ended unnoticed; say so. Without Redis nobody can tell."""
    if probes.redis.error is not None:
        return []
    try:
        return await missions.mend(services, cluster_id, search=True)
    except (RedisError, PoolError) as error:
        return [f"Whether missions have ended unnoticed can't be told: {error}."]


def _seen(
    cluster: Cluster, agents: list[ClusterAgent], probes: Probes, health: Health
) -> dict[str, Any]:
    statuses = Counter(agent.status for agent in agents)
    workers = [a for a in agents if a.role == AgentRole.WORKER and a.status in clusters.LIVE]
    return {
        "cluster_id": cluster.id,
        "cluster_status": cluster.status,
        "health_score": health.score,
        "healthy": not health.findings,
        "findings": health.findings,
        "agents": {"total": len(agents)}
        | {status.value: statuses[status] for status in AgentStatus}
        | {"silent": health.silent},
        "workers": {
            "current": len(workers),
            "min": cluster.min_workers,
            "max": cluster.max_workers,
        },
        "services": _services(probes),
        "queues": _queues(probes),
    }


def _unseen(cluster_id: str, probes: Probes, services: Services) -> dict[str, Any]:
    findings = [
        f"The database doesn't answer: {probes.database.error}.",
        "The agents can't be seen, and the score isn't stored.",
        *judge_services(probes).findings,
        *judge_queues(probes).findings,
    ]
    return {
        "cluster_id": cluster_id,
        "cluster_status": None,
        "health_score": 0.0,
        "healthy": False,
        "findings": findings,
        "agents": None,
        "workers": None,
        "services": _services(probes),
        "queues": _queues(probes),
    } | _when(services)


def _services(probes: Probes) -> dict[str, Any]:
    probed = {
        "database": probes.database,
        "redis": probes.redis,
        "ollama": probes.ollama,
        "qdrant": probes.qdrant,
    }
    return {name: None if probe is None else probe.as_json() for name, probe in probed.items()}


def _queues(probes: Probes) -> dict[str, Any] | None:
    if probes.backlogs is None:
        return None
    return {
        backlog.queue: {"waiting": backlog.waiting, "oldest_s": backlog.oldest_s}
        for backlog in probes.backlogs
    }


def _when(services: Services) -> dict[str, Any]:
    return {"checked_at": f"{services.now().isoformat(timespec='milliseconds')}Z"}
