"""Reads what is to be seen: queues and leases from the server, agents from the database."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from messages import MessageError, Progress, decode_progress, decode_task
from runtime.brain import marks
from runtime.brain.database import transaction
from runtime.brain.tables import AgentRole, Cluster, ClusterAgent
from runtime.demo.processes import SLOTS, Fleet
from runtime.demo.record import Mission, Record
from runtime.demo.snapshot import (
    AgentRow,
    ClusterRow,
    MissionRow,
    MissionState,
    QueueRow,
    Snapshot,
    WorkerRow,
    WorkerState,
)
from runtime.heartbeats import Asks
from runtime.redis import keys

_QUEUES: Final = (keys.CLUSTER_QUEUE, keys.MISSION_QUEUE)
_LOOKED_AT: Final = "99"
"""Tasks of a list that are looked at; there are never that many here."""


@frozen
class _Queue:
    row: QueueRow
    waiting: frozenset[str]
    held: Mapping[str, frozenset[str]]
    renewed_s: Mapping[str, float]


class Reader:
    """Looks at all that the demonstration shows.

    Args:
        session: the way to the queue server.
        engine: the way to the database.
        cluster_id: the cluster that is shown.
        fleet: the worker processes.
        record: what has been pushed and heard.
    """

    def __init__(
        self, session: Asks, engine: AsyncEngine, cluster_id: str, fleet: Fleet, record: Record
    ) -> None:
        self._session = session
        self._engine = engine
        self._cluster_id = cluster_id
        self._fleet = fleet
        self._record = record

    async def look(self) -> Snapshot:
        """Return what is to be seen now; cancelled, it leaves nothing behind.

        Raises:
            PoolError: the queue server is out of reach.
            BrainError: the database is.
        """
        queues = [await self._queue(name) for name in _QUEUES]
        cluster, agents = await transaction(self._engine, self._agents)
        missions = await self._missions(queues)
        record = self._record
        return Snapshot(
            headline=record.headline,
            elapsed_s=record.elapsed,
            cluster=cluster,
            queues=tuple(queue.row for queue in queues),
            workers=self._workers(queues),
            agents=tuple(agents),
            missions=tuple(missions),
            events=record.events,
        )

    async def _queue(self, name: str) -> _Queue:
        request = f"tell of {name}"
        ask = self._session.ask
        bodies, delayed, dead, ranked, clock = await asyncio.gather(
            ask(request, "LRANGE", name, "0", _LOOKED_AT),
            ask(request, "ZCARD", keys.delayed(name)),
            ask(request, "XLEN", keys.dead(name)),
            ask(request, "ZRANGE", keys.holders(name), "0", "-1", "WITHSCORES"),
            ask(request, "TIME"),
        )
        holders = [holder.decode(errors="replace") for holder in ranked[::2]]
        lists = await asyncio.gather(
            *(ask(request, "LRANGE", keys.inflight(name, one), "0", _LOOKED_AT) for one in holders)
        )
        now = int(clock[0]) + int(clock[1]) / 1e6
        workers = [holder.rpartition("#")[0] for holder in holders]
        held = dict(zip(workers, map(_ids, lists), strict=True))
        return _Queue(
            row=QueueRow(name, len(bodies), sum(map(len, lists)), delayed, dead),
            waiting=_ids(bodies),
            held=held,
            renewed_s={
                worker: max(0.0, now - float(score) / 1000)
                for worker, score in zip(workers, ranked[1::2], strict=True)
            },
        )

    async def _agents(self, session: AsyncSession) -> tuple[ClusterRow | None, list[AgentRow]]:
        cluster = await session.get(Cluster, self._cluster_id)
        if cluster is None:
            return None, []
        of_cluster = select(ClusterAgent).where(ClusterAgent.cluster_id == cluster.id)
        found = await session.scalars(of_cluster.order_by(ClusterAgent.spawned_at, ClusterAgent.id))
        labels = {mission.task_id: mission.label for mission in self._record.missions}
        agents = sorted(found, key=lambda agent: agent.role != AgentRole.SUPERVISOR)
        return _cluster_row(cluster), [_agent_row(agent, labels) for agent in agents]

    async def _missions(self, queues: Sequence[_Queue]) -> list[MissionRow]:
        # The script may delegate another one while the server is asked.
        missions = tuple(self._record.missions)
        if not missions:
            return []
        told = await self._session.ask(
            "tell how far missions are",
            "MGET",
            *(keys.progress(mission.task_id) for mission in missions),
        )
        found = []
        for mission, raw in zip(missions, told, strict=True):
            progress = None if raw is None else decode_progress(raw)
            row = self._answered(mission) or self._under_way(mission, queues)
            found.append(row if progress is None else _with(row, progress))
        return found

    def _answered(self, mission: Mission) -> MissionRow | None:
        answers = self._record.answers.get(mission.task_id)
        if not answers:
            return None
        answer = answers[0]
        success = answer.get("success") is True
        return MissionRow(
            mission.task_id,
            mission.label,
            MissionState.ANSWERED if success else MissionState.FAILED,
            worker=answer.get("worker_id"),
            answer=in_words(answer),
        )

    def _under_way(self, mission: Mission, queues: Sequence[_Queue]) -> MissionRow:
        row = MissionRow(mission.task_id, mission.label, MissionState.WAITING)
        for queue in queues:
            for worker, tasks in queue.held.items():
                if mission.task_id in tasks:
                    dead = worker in self._fleet.killed
                    state = MissionState.ORPHANED if dead else MissionState.RUNNING
                    return evolve(row, state=state, worker=worker)
        return row

    def _workers(self, queues: Sequence[_Queue]) -> tuple[WorkerRow, ...]:
        rows = []
        for worker in self._fleet.workers:
            renewed = [one for q in queues if (one := q.renewed_s.get(worker.name)) is not None]
            state = WorkerState.ALIVE if renewed else WorkerState.STARTING
            rows.append(
                WorkerRow(
                    name=worker.name,
                    state=WorkerState.KILLED if worker.name in self._fleet.killed else state,
                    pid=worker.process.pid,
                    holds=sum(len(queue.held.get(worker.name, ())) for queue in queues),
                    slots=SLOTS,
                    answered=self._record.answered_by(worker.name),
                    renewed_s=max(renewed, default=None),
                )
            )
        return tuple(rows)


def in_words(answer: Mapping[str, Any]) -> str:
    """Say a mission's answer: how many primes, what an agent replied, or why it failed."""
    result = answer.get("result")
    detail = result if isinstance(result, dict) else {}
    if answer.get("success") is not True:
        return _on_a_line(detail.get("error", "failed"))
    if "primes" in detail:
        return f"{detail['primes']:,} primes"
    return _on_a_line(detail.get("reply", detail))


def _on_a_line(said: object) -> str:
    """Return a text without what a terminal might obey: a model may reply anything."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())


def _ids(bodies: Sequence[bytes]) -> frozenset[str]:
    found = set()
    for body in bodies:
        try:
            found.add(decode_task(body).id)
        except MessageError:
            continue
    return frozenset(found)


def _with(row: MissionRow, progress: Progress) -> MissionRow:
    return evolve(row, done=progress.done, total=progress.total)


def _cluster_row(cluster: Cluster) -> ClusterRow:
    return ClusterRow(
        name=cluster.id,
        status=cluster.status,
        workers=cluster.current_workers,
        health=cluster.health_score,
        load=cluster.load_percentage,
        completed=cluster.tasks_completed,
    )


def _agent_row(agent: ClusterAgent, labels: Mapping[str, str]) -> AgentRow:
    mission = marks.of_agent(agent.config).mission
    return AgentRow(
        agent_id=agent.agent_id,
        name=str(marks.fields(agent.config).get(marks.NAME, "")),
        role=agent.role,
        status=agent.status,
        mission=None if mission is None else labels.get(mission.task_id, ""),
    )
