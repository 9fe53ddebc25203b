"""How healthy a cluster is: a plain function from what was seen to a score and findings.

    score = agents * structure * services * queues, rounded to three places

- agents: the mean over the agents that aren't stopped of 1 (well), 0.5 (silent, or more than half
  of its tasks failed) and 0 (failed). With no agents: 0; 1 where none are expected yet.
- structure: 1, times 0.5 without a living supervisor, times `(1 + workers / min_workers) / 2` with
  too few workers, times 0.9 with too many, times 0.9 if an agent reports to nobody who lives.
  Supervisor and least workers are expected only of a cluster that is up: active or scaling.
- services: 1, times 0.5 if Redis doesn't answer, times 0.8 if Ollama doesn't or lacks the model,
  times 0.9 if Qdrant doesn't; these two count only if they are configured. Without the database
  nothing can be seen: the score is 0.
- queues: 1, times 0.9 for each of BRAiN's queues whose next task has waited more than five minutes.

Silent is a busy agent not heard of for 15 minutes (a task is cut off after ten), or an active one
for a day. An idle one may wait as long as it likes.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from attrs import field, frozen

from runtime.brain.clusters import LIVE
from runtime.brain.probes import Probes
from runtime.brain.tables import AgentRole, AgentStatus, Cluster, ClusterAgent, ClusterStatus

SILENCE: Final[dict[str, timedelta]] = {
    AgentStatus.BUSY: timedelta(minutes=15),
    AgentStatus.ACTIVE: timedelta(days=1),
}
# Fewer ended tasks than this say nothing about an agent.
ENOUGH_TASKS: Final = 5
_UP: Final = (ClusterStatus.ACTIVE, ClusterStatus.SCALING_UP, ClusterStatus.SCALING_DOWN)
_ERROR_CHARACTERS: Final = 200
LONGEST_WAIT: Final = timedelta(minutes=5)


@frozen
class Part:
    """One factor of the score, and the findings that lowered it."""

    share: float
    findings: list[str] = field(factory=list)


@frozen
class Health:
    """A cluster's health: the score from 0 to 1 and every finding in words."""

    score: float
    findings: list[str]
    silent: int


def assess(cluster: Cluster, agents: list[ClusterAgent], probes: Probes, now: datetime) -> Health:
    """Judge a cluster by its row, its agents and its servers' answers."""
    remarks = {agent.id: remark for agent in agents if (remark := silence(agent, now))}
    parts = [
        _agents(cluster, agents, remarks),
        _structure(cluster, agents),
        judge_services(probes),
        judge_queues(probes),
    ]
    score = 1.0
    for part in parts:
        score *= part.share
    return Health(
        score=round(score, 3),
        findings=[finding for part in parts for finding in part.findings],
        silent=len(remarks),
    )


def silence(agent: ClusterAgent, now: datetime) -> str | None:
    """Say for how long an agent has been silent, if that is longer than its status allows."""
    limit = SILENCE.get(agent.status)
    heard = agent.last_active or agent.spawned_at
    if limit is None or now - heard <= limit:
        return None
    minutes = int((now - heard).total_seconds() // 60)
    return f"Agent {agent.agent_id} is {agent.status}, but silent for {minutes} min."


def _agents(cluster: Cluster, agents: list[ClusterAgent], silent: dict[str, str]) -> Part:
    counted = [agent for agent in agents if agent.status != AgentStatus.STOPPED]
    if not counted:
        expected = cluster.status in _UP
        return Part(0.0, ["The cluster has no agents."]) if expected else Part(1.0)
    weights, findings = [], []
    for agent in counted:
        weight, finding = _agent(agent, silent.get(agent.id))
        weights.append(weight)
        findings += [finding] if finding else []
    return Part(sum(weights) / len(weights), findings)


def _agent(agent: ClusterAgent, silent: str | None) -> tuple[float, str | None]:
    if agent.status == AgentStatus.FAILED:
        why = (agent.last_error or "no error is recorded")[:_ERROR_CHARACTERS].rstrip(".")
        return 0.0, f"Agent {agent.agent_id} has failed: {why}."
    if silent:
        return 0.5, silent
    ended = agent.tasks_completed + agent.tasks_failed
    if ended >= ENOUGH_TASKS and agent.tasks_failed * 2 > ended:
        return 0.5, f"Agent {agent.agent_id} failed {agent.tasks_failed} of its {ended} tasks."
    return 1.0, None


def _structure(cluster: Cluster, agents: list[ClusterAgent]) -> Part:
    live = {agent.id: agent for agent in agents if agent.status in LIVE}
    roles = Counter(agent.role for agent in live.values())
    workers, share, findings = roles[AgentRole.WORKER], 1.0, []
    up = cluster.status in _UP
    if up and not roles[AgentRole.SUPERVISOR]:
        share *= 0.5
        findings.append("The cluster has no living supervisor.")
    if up and workers < cluster.min_workers:
        share *= (1 + workers / cluster.min_workers) / 2
        findings.append(f"The cluster has {workers} workers, fewer than {cluster.min_workers}.")
    if workers > cluster.max_workers:
        share *= 0.9
        findings.append(f"The cluster has {workers} workers, more than {cluster.max_workers}.")
    orphans = sorted(
        agent.agent_id
        for agent in live.values()
        if agent.role != AgentRole.SUPERVISOR and agent.supervisor_id not in live
    )
    if orphans:
        share *= 0.9
        findings.append(f"These agents report to nobody who lives: {', '.join(orphans)}.")
    if cluster.current_workers != workers:
        findings.append(
            f"current_workers is {cluster.current_workers}, but {workers} workers live."
        )
    return Part(share, findings)


def judge_services(probes: Probes) -> Part:
    """Judge the servers' answers but the database's: without that, there is nothing to judge."""
    share, findings = 1.0, []
    for what, probe, price in (
        ("Redis doesn't answer", probes.redis, 0.5),
        ("Ollama isn't ready", probes.ollama, 0.8),
        ("Qdrant doesn't answer", probes.qdrant, 0.9),
    ):
        if probe is not None and probe.error is not None:
            share *= price
            findings.append(f"{what}: {probe.error}.")
    return Part(share, findings)


def judge_queues(probes: Probes) -> Part:
    """Judge whether BRAiN's queues get on."""
    share, findings = 1.0, []
    for backlog in probes.backlogs or ():
        if backlog.oldest_s is not None and backlog.oldest_s > LONGEST_WAIT.total_seconds():
            share *= 0.9
            minutes = int(backlog.oldest_s // 60)
            findings.append(
                f"The next task of {backlog.queue} has waited {minutes} min; "
                f"{backlog.waiting} wait there."
            )
    return Part(share, findings)
