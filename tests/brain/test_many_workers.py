"""Many workers on one cluster: what must hold whatever they do at the same time."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from actors import Handlers, Reject
from runtime import TaskQueue
from runtime.brain import marks, missions, schema
from runtime.brain.missions import Ending
from runtime.brain.services import Services
from runtime.memory import MemoryBroker
from runtime.outgoing import Terms
from runtime.redis import keys
from tests.brain.conftest import World
from tests.brain.fleet import WORKERS, fleet, many_services, serving
from tests.polling import eventually_awaited
from tests.servers import Postgres

MISSION_AGENTS = 20
MISSIONS = 50
WRITER = {"name": "Writer", "capabilities": ["copywriting"]}

ONCE = Terms(max_attempts=1)

GUARD = (
    """CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF OLD.status = 'busy' AND NEW.status = 'busy' AND
            OLD.config->'_pool'->'mission'->>'task_id' <> NEW.config->'_pool'->'mission'->>'task_id'
         THEN RAISE EXCEPTION 'busy with two'; END IF; RETURN NEW; END $$""",
    """CREATE TRIGGER guard BEFORE UPDATE ON cluster_agents
       FOR EACH ROW EXECUTE FUNCTION guard()""",
)


class Missions:
    """Missions that take a moment, of which some fail, and who works on how many at a time."""

    def __init__(self) -> None:
        self.handlers = Handlers(queue=keys.MISSION_QUEUE)
        self.runs: Counter[str] = Counter()
        self.ends: Counter[bool] = Counter()
        self.working: set[str] = set()
        self.handlers.on("work")(self.work)

    async def work(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Be busy for some turns of the loop; every fifth mission fails."""
        agent = payload["agent_id"]
        assert agent not in self.working, f"{agent} works on two missions"
        self.working.add(agent)
        self.runs[agent] += 1
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.working.remove(agent)
        success = payload["number"] % 5 != 0
        self.ends[success] += 1
        if not success:
            raise Reject("every fifth one fails")
        return {}


@pytest.mark.anyio
async def test_fifty_delegations_over_twenty_agents(
    services: Services, world: World, redis_url: str, database_url: str
) -> None:
    """Nobody is busy with two missions at once, every one is answered, and the counters add up."""
    async with services.engine.begin() as connection:
        for statement in GUARD:
            await connection.execute(text(statement))
    await world.cluster()
    await world.agent("boss", "supervisor")
    for number in range(MISSION_AGENTS):
        await world.agent(f"w{number}", supervisor_id="boss")
    work = Missions()
    async with fleet(redis_url, database_url, work.handlers), TaskQueue(redis_url) as queue:
        tasks = [
            await queue.push_task("delegate_task", delegated(number)) for number in range(MISSIONS)
        ]
        answers = [await queue.get_task_result(task, timeout=60) for task in tasks]
        assert all(answer["success"] for answer in answers), answers
        ids = [answer["result"]["mission"]["task_id"] for answer in answers]
        assert len(set(ids)) == MISSIONS
        ends = [await queue.get_task_result(mission, timeout=60) for mission in ids]

        async def freed() -> bool:
            return "busy" not in (await world.statuses()).values()

        await eventually_awaited(freed, what="everybody is free")
    assert Counter(end["success"] for end in ends) == work.ends == {True: 40, False: 10}
    cluster, agents = await world.get_cluster(), await world.agents()
    assert (cluster.tasks_completed, cluster.tasks_failed) == (40, 10)
    assert sum(agent.tasks_completed for agent in agents) == 40
    assert sum(agent.tasks_failed for agent in agents) == 10
    ended = {agent.id: agent.tasks_completed + agent.tasks_failed for agent in agents}
    assert {name: count for name, count in ended.items() if count} == work.runs


def delegated(number: int, **task: Any) -> dict[str, Any]:
    """Return the payload of a `delegate_task`."""
    return {"cluster_id": "c", "task": {"type": "work", "payload": {"number": number}} | task}


ENDS: dict[str, tuple[dict[str, Any], str | None]] = {
    "answered": (delegated(1), None),
    "rejected": (delegated(5), "every fifth one fails"),
    "failed": (delegated(1, type="fail", max_attempts=1), "no luck"),
    "cut off": (
        delegated(1, type="hang", timeout=0.01, max_attempts=1),
        "the handler ran for longer than its time-out of 0.01 s",
    ),
    "expired": (delegated(1, expires_in=1e-6), "the task expired at "),
    "unknown": (delegated(1, type="unheard-of"), "no handler is registered for task type"),
    "unfit": (delegated(1, type="strict"), "the field `colour` is missing"),
}
"""Ways in which a mission ends: a delegation, and the beginning of the agent's `last_error`."""


@frozen
class Strict:
    """A payload that missions don't have."""

    colour: str


def ill_fated() -> Handlers:
    """Return handlers of missions that end badly."""
    handlers = Handlers(queue=keys.MISSION_QUEUE)

    @handlers.on("fail")
    async def fail(_: dict[str, Any]) -> None:
        raise RuntimeError("no luck")

    @handlers.on("hang")
    async def hang(_: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    @handlers.on("strict")
    async def strict(_: Strict) -> None:
        raise AssertionError("its payload doesn't fit")

    return handlers


@pytest.mark.anyio
async def test_each_way_in_which_a_mission_ends_frees_its_agent(
    services: Services, world: World, redis_url: str, database_url: str
) -> None:
    """Answered, rejected, failed, cut off, expired, of a type or payload that nobody takes."""
    await world.cluster()
    await world.agent("boss", "supervisor")
    for name in ENDS:
        await world.agent(name, capabilities=[name])
    more = (Missions().handlers, ill_fated())
    async with fleet(redis_url, database_url, *more), TaskQueue(redis_url) as queue:
        for name, (delegation, _) in ENDS.items():
            delegation["task"]["required_capabilities"] = [name]
            await queue.push_task("delegate_task", delegation)

        async def counted() -> bool:
            cluster = await world.get_cluster()
            return cluster.tasks_completed + cluster.tasks_failed == len(ENDS)

        await eventually_awaited(counted, what="all missions are counted")
    for agent in await world.agents():
        error = ENDS[agent.id][1]
        assert agent.status == "idle"
        assert (agent.tasks_completed, agent.tasks_failed) == ((1, 0) if error is None else (0, 1))
        assert (agent.last_error is None) if error is None else agent.last_error.startswith(error)
    assert await services.redis.xlen(keys.dead(keys.MISSION_QUEUE)) == len(ENDS) - 1


@pytest.mark.anyio
async def test_a_mission_that_nobody_can_take_ends_as_a_clear_failure(
    services: Services, world: World
) -> None:
    """Out of attempts, a delegation is answered with a sentence that says whom it looked for."""
    await world.cluster()
    await world.agent("boss", "supervisor")
    broker = MemoryBroker()
    async with serving([broker], [services]):
        task = await broker.push(keys.CLUSTER_QUEUE, "delegate_task", delegated(1), terms=ONCE)
        answer = await broker.answer(task)
    assert answer["success"] is False
    assert answer["result"]["error"] == (
        "No agent lives under supervisor boss of cluster 'c'; spawn one, or ask for less."
    )


@pytest.mark.anyio
async def test_a_database_that_restarts_in_the_middle(
    world: World,
    redis_url: str,
    database_url: str,
    postgres_server: Postgres,
) -> None:
    """PostgreSQL is killed and restarted in the middle of 500 tasks: all are answered rightly."""
    await world.cluster(max_workers=9, config={"worker": WRITER})
    await world.agent("boss", "supervisor")
    specialist = {"cluster_id": "c", "agent_def": WRITER | {"role": "specialist"}}
    async with fleet(redis_url, database_url), TaskQueue(redis_url) as queue:
        spawns = [("spawn_agent", specialist)] * 400
        scales = [
            ("scale_cluster", {"cluster_id": "c", "target_workers": 1 + n % 9}) for n in range(100)
        ]
        mixed = [task for n in range(100) for task in (*spawns[4 * n : 4 * n + 4], scales[n])]
        tasks = await queue.push_many(mixed)
        await queue.get_task_result(tasks[100], timeout=60)
        await asyncio.to_thread(postgres_server.restart)
        answers = [await queue.get_task_result(task, timeout=60) for task in tasks]
    assert [answer for answer in answers if not answer["success"]] == []
    spawned = {answer["result"]["id"] for answer in answers if answer["type"] == "spawn_agent"}
    assert spawned == set(await world.statuses(role="specialist"))
    assert len(spawned) == 400
    for answer, (kind, payload) in zip(answers, mixed, strict=True):
        if kind == "scale_cluster":
            assert answer["result"]["after"] == payload["target_workers"]
    cluster = await world.get_cluster()
    live = [one for one in (await world.statuses()).values() if one == "active"]
    assert cluster.status == "active"
    assert cluster.current_workers == cluster.target_workers == len(live)


SOUND = (
    """CREATE FUNCTION sound() RETURNS trigger LANGUAGE plpgsql AS $$
       DECLARE found integer; counted integer; most integer; BEGIN
         SELECT current_workers, max_workers INTO counted, most FROM clusters WHERE id = NEW.id;
         SELECT count(*) INTO found FROM cluster_agents WHERE cluster_id = NEW.id
            AND role = 'worker' AND status IN ('active', 'idle', 'busy');
         IF found <> counted OR found > most THEN
           RAISE EXCEPTION 'counted % of at most %, found %', counted, most, found;
         END IF; RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER sound AFTER UPDATE ON clusters DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION sound()""",
)
"""Checked at each commit that changes a cluster: its counter is right, and within its bounds."""

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("spawn_agent"), st.sampled_from(["worker", "supervisor", "lead"])),
        st.tuples(st.just("scale_cluster"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["delegate_task", "release"]), st.none()),
    ),
    min_size=2,
    max_size=14,
)
Operation = tuple[str, Any]


class Histories:
    """Runs histories on four workers, each history in a cluster of its own."""

    def __init__(self, services: list[Services]) -> None:
        self._services = services
        self._numbers = count()
        self._world = World(services[0])

    async def run(self, operations: list[Operation]) -> None:
        """Run a history, and check what it leaves."""
        name = f"c{next(self._numbers)}"
        await self._world.cluster(name, max_workers=4, config={"worker": WRITER})
        await self._world.agent(f"{name}-boss", "supervisor", cluster_id=name)
        broker = MemoryBroker()
        async with serving([broker] * WORKERS, self._services, self._endings()):
            tasks = [
                await broker.push(keys.CLUSTER_QUEUE, kind, payload(name, kind, value), terms=ONCE)
                for kind, value in operations
            ]
            answers = [await broker.answer(task) for task in tasks]
        errors = [one["result"].get("error_type") for one in answers if not one["success"]]
        # A delegation that finds nobody free isn't tried again here.
        assert set(errors) <= {"rejected", "Retry"}, answers
        await self._check(name)

    def _endings(self) -> Handlers:
        """Return a handler that ends a mission of somebody who is busy."""
        handlers = Handlers(queue=keys.CLUSTER_QUEUE)

        @handlers.on("release")
        async def release(payload: dict[str, Any]) -> None:
            for agent in await self._world.agents(payload["cluster_id"]):
                mission = marks.of_agent(agent.config).mission
                if mission is not None:
                    done = Ending(success=True)
                    await missions.free(self._services[0], agent.id, mission.task_id, done)
                    return

        return handlers

    async def _check(self, name: str) -> None:
        cluster, agents = await self._world.get_cluster(name), await self._world.agents(name)
        live = [agent for agent in agents if agent.status != "stopped"]
        staying = [agent for agent in live if not marks.of_agent(agent.config).stopping]
        assert cluster.current_workers == len(live) <= cluster.max_workers
        assert cluster.status in ("active", "hibernated")
        if cluster.status == "hibernated":
            assert not staying
        assert len(await self._world.agents(name, "supervisor")) == 1


def payload(cluster_id: str, kind: str, value: Any) -> dict[str, Any]:
    """Return the payload of an operation."""
    if kind == "spawn_agent":
        return {"cluster_id": cluster_id, "agent_def": WRITER | {"role": value}}
    if kind == "scale_cluster":
        return {"cluster_id": cluster_id, "target_workers": value}
    if kind == "delegate_task":
        return {"cluster_id": cluster_id, "target_role": "worker", "task": {"payload": {}}}
    return {"cluster_id": cluster_id}


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """An event loop that outlives the examples."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def histories(loop: asyncio.Runner, redis_url: str, database_url: str) -> Iterator[Histories]:
    """Four workers' connections, and a database that checks each commit."""
    opened = many_services(redis_url, database_url)
    services = loop.run(opened.__aenter__())
    loop.run(schema.create_in_empty(services[0].engine))

    async def guard() -> None:
        async with services[0].engine.begin() as connection:
            for statement in SOUND:
                await connection.execute(text(statement))

    loop.run(guard())
    yield Histories(services)
    loop.run(opened.__aexit__(None, None, None))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations=OPERATIONS)
def test_spawning_and_scaling_at_once_keep_count(
    loop: asyncio.Runner, histories: Histories, operations: list[Operation]
) -> None:
    """After each commit `current_workers` is the number of living workers, and within bounds."""
    loop.run(histories.run(operations))
