"""`delegate_task`: gives a mission to an agent of a cluster, once per task.

First one short transaction: it chooses a free agent, whose row is locked so that nobody else can
choose it (`FOR UPDATE SKIP LOCKED`: others pass it over), and marks it as busy with the mission,
whose id derives from the task's. Then, with no transaction open, the mission is pushed by a push
that can be repeated. A task that is run again finds its agent by the mission's id.

| if the worker dies | then the task that is run again |
|---|---|
| before the commit | chooses an agent |
| between commit and push | finds its agent and pushes |
| between push and answer | finds its agent; its push is none |
| later than the mission's end | finds its agent in the history of its missions; pushes nothing |
"""

from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

import anyio
from attrs import frozen
from redis.exceptions import RedisError
from sqlalchemy import Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Reject, Retry
from runtime.brain import checks, clusters, marks, missions
from runtime.brain.choosing import Wanted, choose
from runtime.brain.database import transaction
from runtime.brain.identity import lock_number, mission_id
from runtime.brain.payloads import DelegatedTask, DelegateTask
from runtime.brain.services import Services
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent, ClusterStatus
from runtime.errors import InvalidTaskError, RequestRefusedError, ServerUnreachableError
from runtime.outgoing import Terms
from runtime.redis import keys

EXPIRES_S: Final = 86_400
"""Seconds after which a mission isn't begun any more, unless its task says otherwise."""

LONGEST_RUN_S: Final = 3_600
"""Seconds that the last run of a mission surely doesn't exceed, unless its task has a time-out."""

MARGIN_S: Final = 60
"""Seconds by which clocks of workers may differ."""

PUSH_S: Final = 3.0
"""Seconds that pushing a mission may take; shorter than the short grace of a drain."""

LONGEST_S: Final = 31_536_000
"""Seconds; the longest that a push can be remembered."""

AGENT: Final = "agent_id"
"""The key of the mission's payload that says whose it is: the agent's row id, which is unique."""

_WORKING: Final = (ClusterStatus.ACTIVE, ClusterStatus.SCALING_UP, ClusterStatus.SCALING_DOWN)
_COMING_UP: Final = (ClusterStatus.PLANNING, ClusterStatus.SPAWNING)
_ADVICE: Final[dict[str, str]] = {
    ClusterStatus.HIBERNATED: "wake it with scale_cluster first",
    ClusterStatus.DESTROYING: "name another cluster",
    ClusterStatus.DESTROYED: "name another cluster",
}


@frozen
class Order:
    """A checked `delegate_task` task.

    Attributes:
        cluster_id: The cluster.
        task: The mission.
        mission_id: Its id.
        wanted: What its agent must be.
        supervisor_id: Who delegates; None for the cluster's supervisor.
        lock: The advisory lock under which runs of the task take turns.
    """

    cluster_id: str
    task: DelegatedTask
    mission_id: str
    wanted: Wanted
    supervisor_id: str | None
    lock: int

    @property
    def expires_in(self) -> float:
        """Seconds after which the mission isn't begun any more."""
        return EXPIRES_S if self.task.expires_in is None else self.task.expires_in

    @property
    def lasts(self) -> float:
        """Seconds after which the mission has surely ended."""
        return self.expires_in + (self.task.timeout or LONGEST_RUN_S) + MARGIN_S


@frozen
class Assignment:
    """An agent and the mission that it was given.

    Attributes:
        agent: Its row.
        supervisor_id: The row id of who delegated.
        fresh: Whether this run of the task gave it.
        open: Whether the mission hasn't ended, as far as the database knows.
    """

    agent: ClusterAgent
    supervisor_id: str
    fresh: bool
    open: bool


async def delegate_task(payload: DelegateTask, task_id: str, services: Services) -> dict[str, Any]:
    """Give a mission to an agent, push it, and return who has it and how to wait for it.

    A cancellation leaves all as it was, or comes too late: once an agent is chosen, its mission is
    pushed, which takes three seconds at most. If Redis is out of reach, and a worker may always be
    killed, the agent is left with a mission that isn't pushed; running the task again is safe.

    Raises:
        Reject: The task can't be done as it stands: says why, and what to do.
        Retry: No agent that could do it is free, or Redis doesn't answer.
        DatabaseUnreachableError: No connection could be made.
        PoolError: The mission couldn't be pushed.
    """
    order = checked(payload, task_id)
    # Asked before the agent is looked for: another run of the task commits before it pushes.
    pushed = await services.redis.exists(keys.unique(keys.MISSION_QUEUE, order.mission_id))

    async def work(session: AsyncSession) -> Assignment:
        # Two runs of one task at a time (the first one's worker was suspended) must not choose two.
        await session.execute(select(func.pg_advisory_xact_lock(order.lock)))
        given = await _given(session, order)
        if given is None and pushed:
            raise Reject(
                f"Mission {order.mission_id} was delegated before, by a task of the same id in "
                "another cluster or too long ago to tell to whom; push another task."
            )
        return given or await _assign(session, order, services.now())

    assignment = await transaction(services.engine, work)
    if assignment.open:
        # Whoever cancels the task for good must not leave an agent busy with what never comes.
        with anyio.move_on_after(PUSH_S, shield=True) as pushing:
            await _push(order, assignment, services)
        if pushing.cancelled_caught:
            raise Retry(f"Redis hasn't taken mission {order.mission_id} within {PUSH_S:g} s.")
    return answer(order, assignment)


def checked(payload: DelegateTask, task_id: str) -> Order:
    """Check all of a task that can be judged without the database.

    Raises:
        Reject: A field can't be used: says which, what came and what was expected.
    """
    role = payload.target_role
    subordinates = [one for one in AgentRole if one is not AgentRole.SUPERVISOR]
    if role is not None and role not in subordinates:
        raise Reject(f"target_role is {role[:50]!r}; expected one of {', '.join(subordinates)}.")
    if payload.supervisor_id is not None:
        checks.identifier("supervisor_id", payload.supervisor_id)
    if AGENT in payload.task.payload:
        raise Reject(
            f"task.payload holds {AGENT!r}, which delegate_task writes itself; leave it out."
        )
    _check_terms(payload.task)
    needed = payload.task.required_capabilities
    capabilities = checks.names("task.required_capabilities", needed)
    mission = mission_id(task_id)
    return Order(
        cluster_id=checks.identifier("cluster_id", payload.cluster_id),
        task=payload.task,
        mission_id=mission,
        wanted=Wanted(None if role is None else AgentRole(role), capabilities, mission),
        supervisor_id=payload.supervisor_id,
        lock=lock_number(task_id),
    )


def _check_terms(task: DelegatedTask) -> None:
    terms = Terms(timeout=task.timeout, max_attempts=task.max_attempts, expires_in=task.expires_in)
    try:
        terms.check()
    except InvalidTaskError as error:
        what = f"task.{error.field} is {error.came}, expected {error.expected}."
        raise Reject(what) from error


def answer(order: Order, assignment: Assignment) -> dict[str, Any]:
    """Tell who has the mission: always the same."""
    agent = assignment.agent
    return {
        "cluster_id": agent.cluster_id,
        "supervisor_id": assignment.supervisor_id,
        "agent": {
            "id": agent.id,
            "agent_id": agent.agent_id,
            "role": str(agent.role),
            "name": marks.fields(agent.config).get(marks.NAME),
        },
        "mission": {
            "task_id": order.mission_id,
            "type": order.task.type,
            "queue": keys.MISSION_QUEUE,
        },
    }


def refuse(cluster: Cluster) -> None:
    """Say no to what the cluster's state doesn't allow.

    Raises:
        Reject: The cluster doesn't work.
        Retry: It doesn't yet.
    """
    if cluster.status in _WORKING:
        return
    what = f"Cluster {cluster.id!r} is {cluster.status} and takes no mission"
    if cluster.status in _COMING_UP:
        raise Retry(f"{what} yet: its supervisor doesn't stand; spawn it.")
    raise Reject(f"{what}; {_ADVICE.get(cluster.status, 'wait until it is active')}.")


async def _given(session: AsyncSession, order: Order) -> Assignment | None:
    """Find the agent that an earlier run of the task chose."""
    bears = cast(ClusterAgent.config, Text).contains(order.mission_id)
    of_cluster = ClusterAgent.cluster_id == order.cluster_id
    for agent in await session.scalars(select(ClusterAgent).where(of_cluster, bears)):
        noted = marks.of_agent(agent.config)
        for given in noted.given:
            if given.mission_id == order.mission_id:
                busy = noted.mission is not None and noted.mission.task_id == order.mission_id
                return Assignment(agent, given.supervisor_id, fresh=False, open=busy)
    return None


async def _assign(session: AsyncSession, order: Order, now: datetime) -> Assignment:
    """Choose an agent and mark it as busy with the mission."""
    refuse(await clusters.read(session, order.cluster_id))
    delegator = await _delegator(session, order)
    agent = await choose(session, delegator, order.wanted)
    until = now + timedelta(seconds=order.lasts)
    mission = marks.Mission(order.mission_id, since=now, until=until)
    noted = marks.of_agent(agent.config).busy_with(mission, delegator.id)
    agent.config = marks.noted(agent.config, noted)
    agent.status = AgentStatus.BUSY
    agent.last_active = now
    return Assignment(agent, delegator.id, fresh=True, open=True)


async def _delegator(session: AsyncSession, order: Order) -> ClusterAgent:
    """Return who delegates."""
    row_id = order.supervisor_id or await clusters.supervisor(session, order.cluster_id)
    if row_id is None:
        raise Reject(
            f"Cluster {order.cluster_id!r} has no supervisor who could delegate; "
            "spawn a supervisor first."
        )
    return await clusters.superior(session, order.cluster_id, row_id)


async def _push(order: Order, assignment: Assignment, services: Services) -> None:
    """Push the mission, unless it was, and let whoever hears of its end find its agent."""
    task, agent = order.task, assignment.agent
    try:
        await services.redis.set(
            keys.mission_agent(order.mission_id), agent.id, ex=ceil(order.lasts)
        )
        await services.queue.push_task(
            task.type,
            task.payload | {AGENT: agent.id},
            queue=keys.MISSION_QUEUE,
            task_id=order.mission_id,
            unique_for=min(2 * order.lasts, LONGEST_S),
            expires_in=order.expires_in,
            timeout=task.timeout,
            max_attempts=task.max_attempts,
        )
    except (RedisError, InvalidTaskError, RequestRefusedError, ServerUnreachableError) as error:
        # Nothing was pushed now. Unless it may have been by an earlier run, the agent is free.
        if assignment.fresh:
            await missions.free(services, agent.id, order.mission_id, None)
        if isinstance(error, InvalidTaskError):
            raise Reject(f"The mission can't be pushed. {error}.") from error
        raise
