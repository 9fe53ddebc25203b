"""`scale_cluster`: brings a cluster to a number of workers, once per task.

Two short transactions under the lock of the cluster's row. The first looks whether the task can be
done and lets others see `scaling_up` or `scaling_down`; the second counts anew, does all of the
work, and notes the answer in the cluster's `config`. So a task that is run again after the second
gives the same answer, and one that is run again between the two just does the second: nothing in
the first is relied upon.
"""

from datetime import datetime
from typing import Any, Final

from attrs import evolve
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject
from runtime.brain import checks, clusters, marks
from runtime.brain.database import transaction
from runtime.brain.definitions import recruits
from runtime.brain.marks import Scaling
from runtime.brain.payloads import ScaleCluster
from runtime.brain.scaling import Steps, Worker, plan
from runtime.brain.services import Services
from runtime.brain.spawn_agent import new_agent
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent, ClusterStatus

_SCALING: Final = (ClusterStatus.SCALING_UP, ClusterStatus.SCALING_DOWN)
_SCALED: Final = (ClusterStatus.ACTIVE, ClusterStatus.HIBERNATED, *_SCALING)
_ADVICE: Final[dict[str, str]] = {
    ClusterStatus.PLANNING: "spawn its supervisor first",
    ClusterStatus.SPAWNING: "spawn its supervisor first",
    ClusterStatus.DESTROYING: "name another cluster",
    ClusterStatus.DESTROYED: "name another cluster",
}


async def scale_cluster(payload: ScaleCluster, task_id: str, services: Services) -> dict[str, Any]:
    """Bring a cluster to its target and return what was done.

    A cancellation leaves all as it was, or the status at `scaling_up` or `scaling_down`, or all
    done; running the task again is safe in each case.

    Raises:
        Reject: The task can't be done as it stands: says why, and what to do.
        DatabaseUnreachableError: No connection could be made.
    """
    cluster_id = checks.identifier("cluster_id", payload.cluster_id)
    target = payload.target_workers

    async def announce(session: AsyncSession) -> dict[str, Any] | None:
        cluster = await clusters.locked(session, cluster_id)
        if (before := _before(cluster, task_id, target)) is not None:
            return before
        refuse(cluster, target)
        workers = await _workers(session, cluster_id)
        steps = plan([_seen(worker) for worker in workers], target)
        await recruits(session, cluster, steps.spawn, task_id)
        _show(cluster, steps)
        return None

    async def work(session: AsyncSession) -> dict[str, Any] | Reject:
        cluster = await clusters.locked(session, cluster_id)
        if (before := _before(cluster, task_id, target)) is not None:
            return before
        try:
            return await _scale(session, cluster, Scaling(task_id, target, {}), services.now())
        except Reject as no:
            # Something has changed since it was announced: that others see it must not last.
            _hide(cluster)
            return no

    answer = await transaction(services.engine, announce)
    if answer is not None:
        return answer
    done = await transaction(services.engine, work)
    if isinstance(done, Reject):
        raise done
    return done


def refuse(cluster: Cluster, target: int) -> None:
    """Say no to what the cluster's state or bounds don't allow.

    Raises:
        Reject: The cluster can't be scaled so now.
    """
    if cluster.status not in _SCALED:
        advice = _ADVICE.get(cluster.status, "wait until it is active")
        raise Reject(f"Cluster {cluster.id!r} is {cluster.status} and can't be scaled; {advice}.")
    if target != 0 and not cluster.min_workers <= target <= cluster.max_workers:
        raise Reject(
            f"target_workers is {target}; cluster {cluster.id!r} takes "
            f"{cluster.min_workers} to {cluster.max_workers}, or 0 to hibernate."
        )


def _before(cluster: Cluster, task_id: str, target: int) -> dict[str, Any] | None:
    """Return the answer of an earlier run of the task, if there was one."""
    for scaling in marks.of_cluster(cluster.config).scalings:
        if scaling.task_id == task_id:
            if scaling.target != target:
                raise Reject(
                    f"Task {task_id} has already scaled cluster {cluster.id!r} to "
                    f"{scaling.target}; push another scaling with an id of its own."
                )
            return scaling.answer
    return None


def _show(cluster: Cluster, steps: Steps) -> None:
    """Let others see what goes on, if something does."""
    if not steps.grows and not steps.shrinks:
        return
    noted = marks.of_cluster(cluster.config)
    if cluster.status not in _SCALING:
        noted = evolve(noted, status=str(cluster.status))
        cluster.config = marks.noted(cluster.config, noted)
    cluster.status = ClusterStatus.SCALING_UP if steps.grows else ClusterStatus.SCALING_DOWN


def _hide(cluster: Cluster) -> None:
    """Give a cluster back the status that it had before it was shown to be scaling."""
    noted = marks.of_cluster(cluster.config)
    if cluster.status in _SCALING:
        cluster.status = noted.status or ClusterStatus.ACTIVE
        cluster.config = marks.noted(cluster.config, evolve(noted, status=None))


async def _scale(
    session: AsyncSession, cluster: Cluster, scaling: Scaling, now: datetime
) -> dict[str, Any]:
    """Do all of the work, and note it."""
    target = scaling.target
    refuse(cluster, target)
    workers = await _workers(session, cluster.id)
    steps = plan([_seen(worker) for worker in workers], target)
    coming = await recruits(session, cluster, steps.spawn, scaling.task_id)
    for number, order in enumerate(coming.orders, start=len(workers) + 1):
        session.add(new_agent(order, coming.superior, number, now))
    _change(workers, steps, now)
    cluster.current_workers = len(workers) + steps.spawn - len(steps.stop)
    cluster.target_workers = target
    cluster.last_active = now
    _settle(cluster, target, now)
    answer = {
        "cluster_id": cluster.id,
        "status": str(cluster.status),
        "target_workers": target,
        "before": len(workers),
        "after": cluster.current_workers,
        "spawned": [order.id for order in coming.orders],
        "resumed": list(steps.resume),
        "stopped": list(steps.stop),
        "stopping": list(steps.leave),
    }
    noted = marks.of_cluster(cluster.config).scaled(evolve(scaling, answer=answer))
    cluster.config = marks.noted(cluster.config, noted)
    return answer


def _settle(cluster: Cluster, target: int, now: datetime) -> None:
    """Give a cluster the status in which it is left."""
    was = marks.of_cluster(cluster.config).status or cluster.status
    if target:
        cluster.status, cluster.hibernated_at = ClusterStatus.ACTIVE, None
        return
    cluster.status = ClusterStatus.HIBERNATED
    if was != ClusterStatus.HIBERNATED:
        cluster.hibernated_at = now


async def _workers(session: AsyncSession, cluster_id: str) -> list[ClusterAgent]:
    """Return a cluster's living workers, locked: nobody gives one a mission meanwhile."""
    found = (
        select(ClusterAgent)
        .where(clusters.live(cluster_id), ClusterAgent.role == AgentRole.WORKER)
        .order_by(ClusterAgent.id)
        .with_for_update()
    )
    return list(await session.scalars(found))


def _seen(worker: ClusterAgent) -> Worker:
    return Worker(
        id=worker.id,
        status=worker.status,
        last_active=worker.last_active or worker.spawned_at,
        stopping=marks.of_agent(worker.config).stopping,
    )


def _change(workers: list[ClusterAgent], steps: Steps, now: datetime) -> None:
    """Stop those that stop, and mark those that will, or no longer will."""
    for worker in workers:
        noted = marks.of_agent(worker.config)
        if worker.id in steps.stop:
            worker.status, worker.stopped_at = AgentStatus.STOPPED, now
        leaves = noted.stopping and worker.status == AgentStatus.BUSY
        stopping = worker.id in steps.leave or (leaves and worker.id not in steps.resume)
        if stopping != noted.stopping:
            worker.config = marks.noted(worker.config, evolve(noted, stopping=stopping))
