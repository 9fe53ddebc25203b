"""Which agent gets a mission: of those that report to who delegates, the best that is free.

An agent has one mission at a time, so nobody who is busy is chosen, however many tasks wait. Of the
free ones `idle` goes before `active` (just spawned, and never yet freed from a mission); then
whoever has worked the least in all; then whoever was active the longest ago; then chance, drawn
from the mission's id.
"""

from typing import Final

from attrs import frozen
from sqlalchemy import Select, and_, case, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import ColumnElement

from actors import Retry
from runtime.brain import clusters
from runtime.brain.tables import AgentRole, AgentStatus, ClusterAgent

_FREE: Final = (AgentStatus.IDLE, AgentStatus.ACTIVE)


@frozen
class Wanted:
    """What the agent of a mission must be.

    Attributes:
        role: Its role; None for any but the supervisor's.
        capabilities: What it must be capable of, all of it.
        mission_id: The mission, by which chance is drawn.
    """

    role: AgentRole | None
    capabilities: list[str]
    mission_id: str

    def __str__(self) -> str:
        who = self.role or "agent"
        what = ", ".join(self.capabilities)
        return f"{who} capable of {what}" if what else str(who)


async def choose(session: AsyncSession, delegator: ClusterAgent, wanted: Wanted) -> ClusterAgent:
    """Return a free subordinate, locked until the transaction's end.

    One that somebody else has locked is passed over: it is being given a mission, freed or stopped.

    Raises:
        Retry: There is none now.
    """
    able = _able(delegator, wanted)
    best = (
        select(ClusterAgent)
        .where(able, ClusterAgent.status.in_(_FREE))
        .order_by(
            case((ClusterAgent.status == AgentStatus.IDLE, 0), else_=1),
            (ClusterAgent.tasks_completed + ClusterAgent.tasks_failed)
            * ClusterAgent.avg_task_duration,
            ClusterAgent.last_active.nulls_first(),
            func.md5(ClusterAgent.id + wanted.mission_id),
        )
        .limit(1)
        .with_for_update(skip_locked=True, of=ClusterAgent)
    )
    agent = (await session.scalars(best)).first()
    if agent is not None:
        return agent
    there = select(func.count()).where(able, ClusterAgent.status.in_(clusters.LIVE))
    count = await session.scalar(there) or 0
    who = f"{delegator.role} {delegator.agent_id} of cluster {delegator.cluster_id!r}"
    if count:
        raise Retry(f"No {wanted} under {who} is free: all {count} are busy.")
    raise Retry(f"No {wanted} lives under {who}; spawn one, or ask for less.")


def _able(delegator: ClusterAgent, wanted: Wanted) -> ColumnElement[bool]:
    """Return the condition that an agent is a subordinate as it is wanted."""
    conditions = [
        ClusterAgent.cluster_id == delegator.cluster_id,
        ClusterAgent.role != AgentRole.SUPERVISOR,
        ClusterAgent.id != delegator.id,
    ]
    if wanted.role is not None:
        conditions.append(ClusterAgent.role == wanted.role)
    if wanted.capabilities:
        # The column may be json, which can't be compared.
        conditions.append(cast(ClusterAgent.capabilities, JSONB).contains(wanted.capabilities))
    if delegator.role != AgentRole.SUPERVISOR:
        conditions.append(ClusterAgent.id.in_(_under(delegator)))
    return and_(*conditions)


def _under(lead: ClusterAgent) -> Select[tuple[str]]:
    """Select the row ids of those who report to a lead, or to somebody who does."""
    agent = aliased(ClusterAgent)
    direct = select(agent.id).where(agent.supervisor_id == lead.id)
    under = direct.cte("under", recursive=True)
    further = select(agent.id).where(agent.supervisor_id == under.c.id)
    return select(under.union(further).c.id)
