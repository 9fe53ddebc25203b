"""What happens in the demonstration, one function a step, in the order of `STEPS`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from runtime.brain.clock import stored, utc_now
from runtime.brain.database import transaction
from runtime.brain.tables import AgentRole, Cluster, ClusterStatus, ClusterType
from runtime.demo import missions
from runtime.demo.errors import DemoError
from runtime.demo.reader import in_words
from runtime.demo.record import Mission, Recovery
from runtime.demo.snapshot import WorkerState
from runtime.demo.stage import Stage

Step = Callable[[Stage], Awaitable[None]]

CLUSTER_ID: Final = "research-001"
WORKERS: Final = ("worker-1", "worker-2")
_LOOK: Final = 0.05
_TAKEN_OVER_WITHIN: Final = 20.0
_TOLD_AFTER: Final = 1.2
"""Seconds after which a worker has surely told how far a mission is that it has begun."""


async def start_workers(stage: Stage) -> None:
    """Start two worker processes and wait until both hold leases."""
    stage.record.announce("Starting two worker processes, as anybody would start them")
    for name in WORKERS:
        await stage.fleet.start(name)
    while True:
        workers = (await stage.reader.look()).workers
        if all(worker.state is WorkerState.ALIVE for worker in workers):
            break
        await asyncio.sleep(_LOOK)
    pids = " and ".join(f"{worker.name} (process {worker.pid})" for worker in workers)
    stage.record.note(f"{pids} take tasks")


async def build_cluster(stage: Stage) -> None:
    """Make the cluster's row, as BRAiN's backend does."""
    stage.record.announce("Building a cluster")
    now = stored(utc_now())

    async def insert(session: AsyncSession) -> None:
        session.add(
            Cluster(
                id=CLUSTER_ID,
                name="Research",
                type=ClusterType.TEMPORARY,
                status=ClusterStatus.PLANNING,
                created_at=now,
                last_active=now,
                config={"worker": {"name": "Researcher", "capabilities": [missions.CAPABILITY]}},
            )
        )

    await transaction(stage.engine, insert)
    stage.record.note(f"cluster {CLUSTER_ID} is planned")
    await stage.read_on()


async def spawn_supervisor(stage: Stage) -> None:
    """Spawn the supervisor, which makes the cluster active."""
    stage.record.announce("Spawning its supervisor")
    agent_def = {"role": AgentRole.SUPERVISOR, "name": "Head of Research", "capabilities": []}
    await _spawn(stage, agent_def)


async def spawn_worker(stage: Stage) -> None:
    """Spawn one worker by hand."""
    stage.record.announce("Spawning a first worker agent")
    agent_def = {
        "role": AgentRole.WORKER,
        "name": "Researcher",
        "capabilities": [missions.CAPABILITY],
    }
    await _spawn(stage, agent_def)


async def scale_up(stage: Stage) -> None:
    """Scale the cluster to as many workers as there will be missions."""
    stage.record.announce(f"Scaling the cluster to {missions.COUNT} worker agents")
    target = {"cluster_id": CLUSTER_ID, "target_workers": missions.COUNT}
    scaled = await stage.do("scale_cluster", target)
    stage.record.note(f"scale_cluster: from {scaled['before']} to {scaled['after']} workers")
    await stage.read_on()


async def delegate(stage: Stage) -> None:
    """Delegate half of the missions."""
    half = missions.COUNT // 2
    stage.record.announce(f"Delegating {half} missions, one to each of {half} agents")
    await _delegate(stage, missions.missions(chats=stage.chats)[:half])


async def check_health(stage: Stage) -> None:
    """Check the cluster's health."""
    stage.record.announce("Checking the cluster's health")
    found = await stage.do("health_check", {"cluster_id": CLUSTER_ID})
    findings = "; ".join(found["findings"]) or "nothing is wrong"
    stage.record.note(f"health_check: {found['health_score']:.2f}, {findings}")
    await stage.read_on()


async def delegate_more(stage: Stage) -> None:
    """Delegate the others. With the check in between it is the other worker that gets them."""
    half = missions.COUNT // 2
    stage.record.announce(f"Delegating {missions.COUNT - half} more")
    await _delegate(stage, missions.missions(chats=stage.chats)[half:])


async def collect_metrics(stage: Stage) -> None:
    """Measure the cluster and the pool."""
    stage.record.announce("Measuring the cluster and its workers")
    row = await stage.do("collect_metrics", {"cluster_id": CLUSTER_ID})
    agents = sum(row[f"{status}_agents"] for status in ("active", "idle", "busy", "failed"))
    figures = f"{row['busy_agents']} of {agents} agents busy, load {row['load_percentage']:.0f}%"
    memory = row["memory_usage"]
    measured = "" if memory is None else f", memory {memory:.1f}% a worker"
    stage.record.note(f"collect_metrics: {figures}{measured}")


async def kill_a_worker(stage: Stage) -> None:
    """Kill a worker in the middle of its missions, and wait until the other one runs them."""
    stage.record.announce("The missions run; one of the two workers is about to be killed")
    while True:
        found = (await stage.reader.look()).missions
        chosen = missions.victim(found)
        if chosen is not None:
            break
        await asyncio.sleep(_LOOK)
    held = [mission.task_id for mission in found if missions.runs_on(mission, chosen)]
    await stage.fleet.kill(chosen)
    begun = stage.record.elapsed
    if not held:
        stage.record.announce(f"{chosen} is killed; all missions were answered before")
        stage.record.note(f"{chosen} killed with SIGKILL while it ran nothing")
        return
    many = missions.in_number(len(held))
    stage.record.announce(f"{chosen} is killed; its {many} must run elsewhere within 5 s")
    stage.record.note(f"{chosen} killed with SIGKILL while it ran {many}")
    await _taken_over(stage, chosen, held, begun)


async def await_missions(stage: Stage) -> None:
    """Wait for the answers of all missions."""

    async def one(mission: Mission) -> bool:
        answer = await stage.answer(mission.task_id)
        if answer.get("success") is not True:
            raise DemoError(f"Mission {mission.label} failed: {in_words(answer)}")
        resumed: Any = answer["result"].get("resumed_at")
        again = "" if resumed is None else f", from step {resumed} on"
        worker = answer.get("worker_id")
        stage.record.note(f"{mission.label}: {in_words(answer)}, by {worker}{again}")
        return resumed is not None

    waiting = [asyncio.create_task(one(mission)) for mission in stage.record.missions]
    try:
        resumed = await asyncio.gather(*waiting)
    finally:
        # One that failed ends the demonstration, and the wait for the others.
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    if any(resumed):
        many = missions.in_number(sum(resumed))
        stage.record.note(f"{many} went on where the killed worker had saved them")
    await stage.read_on()


async def hibernate(stage: Stage) -> None:
    """Scale the cluster to nothing."""
    stage.record.announce("Sending the cluster to sleep")
    scaled = await stage.do("scale_cluster", {"cluster_id": CLUSTER_ID, "target_workers": 0})
    stage.record.note(f"scale_cluster: from {scaled['before']} to {scaled['after']} workers")
    await stage.read_on()


STEPS: Final[tuple[Step, ...]] = (
    start_workers,
    build_cluster,
    spawn_supervisor,
    spawn_worker,
    scale_up,
    delegate,
    check_health,
    delegate_more,
    collect_metrics,
    kill_a_worker,
    await_missions,
    check_health,
    collect_metrics,
    hibernate,
)


async def _delegate(stage: Stage, chosen: list[tuple[str, dict[str, Any]]]) -> None:
    for label, task in chosen:
        order = {"cluster_id": CLUSTER_ID, "target_role": AgentRole.WORKER, "task": task}
        given = await stage.do("delegate_task", order)
        mission_id = given["mission"]["task_id"]
        stage.record.pushed[mission_id] = given["mission"]["type"]
        stage.record.missions.append(Mission(mission_id, label))
        stage.record.note(f"delegate_task: {given['agent']['agent_id']} has {label}")


async def _spawn(stage: Stage, agent_def: dict[str, Any]) -> None:
    spawned = await stage.do("spawn_agent", {"cluster_id": CLUSTER_ID, "agent_def": agent_def})
    stage.record.note(f"spawn_agent: {spawned['agent_id']}, {spawned['name']}")
    await stage.read_on()


async def _taken_over(stage: Stage, dead: str, task_ids: list[str], begun: float) -> None:
    """Wait until missions run elsewhere, or were answered there.

    Raises:
        DemoError: they don't in time.
    """
    while True:
        found = await stage.reader.look()
        held = [mission for mission in found.missions if mission.task_id in task_ids]
        if all(missions.is_safe(mission, dead) for mission in held):
            break
        if stage.record.elapsed - begun > _TAKEN_OVER_WITHIN:
            raise DemoError(f"The missions of {dead} weren't taken over in time.")
        await asyncio.sleep(_LOOK)
    seconds = stage.record.elapsed - begun
    stage.record.recovery = Recovery(dead, len(task_ids), seconds)
    many = missions.in_number(len(task_ids))
    verb = "runs" if len(task_ids) == 1 else "run"
    stage.record.note(f"{dead} is gone: its {many} {verb} elsewhere after {seconds:.1f} s")
    stage.record.announce(
        f"The {many} of {dead} {verb} elsewhere after {seconds:.1f} s; nothing is lost"
    )
    await asyncio.sleep(max(stage.rest, _TOLD_AFTER))
    stage.record.kept = await stage.reader.look()
