"""Creating BRAiN's tables in an empty database, and checking those of any other."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from runtime.brain import database, missions, schema
from runtime.brain.delegate_task import delegate_task
from runtime.brain.errors import SchemaError
from runtime.brain.missions import Ending
from runtime.brain.payloads import (
    AgentDef,
    DelegatedTask,
    DelegateTask,
    ScaleCluster,
    SpawnAgent,
)
from runtime.brain.scale_cluster import scale_cluster
from runtime.brain.services import Services
from runtime.brain.spawn_agent import spawn_agent
from runtime.brain.tables import AgentRole, AgentStatus, ClusterStatus, ClusterType

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = database.engine(database_url, concurrency=2)
    yield engine
    await engine.dispose()


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def value(engine: AsyncEngine, query: str) -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text(query))


async def test_an_empty_database_gets_the_tables_and_the_demo_cluster(engine: AsyncEngine) -> None:
    """What is created passes the check, and holds an active demo cluster with a supervisor."""
    assert await schema.create_in_empty(engine) is True
    await schema.check(engine)
    assert await value(engine, "SELECT name FROM clusters WHERE status = 'active'") == "Demo"
    supervisors = "SELECT count(*) FROM cluster_agents WHERE cluster_id = 'demo'"
    assert await value(engine, supervisors + " AND role = 'supervisor'") == 1


async def test_a_second_creation_changes_nothing(engine: AsyncEngine) -> None:
    """Created once, the tables are left alone: a demo cluster that was deleted stays so."""
    await schema.create_in_empty(engine)
    await run(engine, "DELETE FROM cluster_agents", "DELETE FROM clusters")
    assert await schema.create_in_empty(engine) is False
    assert await value(engine, "SELECT count(*) FROM clusters") == 0


async def test_one_of_the_tables_is_enough_to_leave_a_database_alone(engine: AsyncEngine) -> None:
    """A database that holds any of BRAiN's tables isn't ours to complete."""
    await run(engine, "CREATE TABLE cluster_metrics (id varchar)")
    assert await schema.create_in_empty(engine) is False
    with pytest.raises(SchemaError, match="table clusters is missing"):
        await schema.check(engine)


async def test_other_tables_are_no_hindrance(engine: AsyncEngine) -> None:
    """A database with somebody else's tables still is empty of BRAiN's."""
    await run(engine, "CREATE TABLE missions (id varchar)")
    assert await schema.create_in_empty(engine) is True


async def test_processes_that_create_at_once_create_once(database_url: str) -> None:
    """Six engines that find the database empty at the same moment make one schema."""
    engines = [database.engine(database_url, concurrency=1) for _ in range(6)]
    created = await asyncio.gather(*(schema.create_in_empty(engine) for engine in engines))
    assert sorted(created) == [False] * 5 + [True]
    assert await value(engines[0], "SELECT count(*) FROM clusters") == 1
    for engine in engines:
        await engine.dispose()


async def test_a_row_typed_by_hand_gets_the_contracts_defaults(engine: AsyncEngine) -> None:
    """The server's own defaults are those of the contract."""
    await schema.create_in_empty(engine)
    await run(engine, "INSERT INTO clusters (id, name) VALUES ('c', 'By hand')")
    figures = "min_workers, max_workers, current_workers, target_workers, health_score"
    found = await value(engine, f"SELECT concat_ws(' ', {figures}) FROM clusters WHERE id = 'c'")  # noqa: S608 -- constants
    assert found == "1 10 0 1 1"


@pytest.mark.parametrize(
    ("change", "table", "column", "words"),
    [
        ("DROP TABLE cluster_metrics", "cluster_metrics", None, "table cluster_metrics is missing"),
        (
            "ALTER TABLE cluster_agents DROP COLUMN skills",
            "cluster_agents",
            "skills",
            "column cluster_agents.skills is missing",
        ),
        (
            "ALTER TABLE clusters ALTER last_active TYPE timestamptz",
            "clusters",
            "last_active",
            "is of type timestamp with time zone, expected timestamp without time zone",
        ),
        (
            "ALTER TABLE clusters ALTER tags DROP DEFAULT, ALTER tags TYPE text",
            "clusters",
            "tags",
            "is of type text, expected json or jsonb",
        ),
    ],
)
async def test_a_difference_is_named(
    engine: AsyncEngine, change: str, table: str, column: str | None, words: str
) -> None:
    """A missing table or column, or a type that can't be used, is one sentence that names it."""
    await schema.create_in_empty(engine)
    await run(engine, change)
    with pytest.raises(SchemaError) as caught:
        await schema.check(engine)
    assert words in str(caught.value)
    assert "migrations" in str(caught.value)
    assert (caught.value.table, caught.value.column) == (table, column)


async def test_more_columns_than_needed_are_fine(engine: AsyncEngine) -> None:
    """A newer backend's columns don't disturb the check."""
    await schema.create_in_empty(engine)
    await run(engine, "ALTER TABLE clusters ADD COLUMN colour text")
    await schema.check(engine)


def _enumerations() -> dict[str, str]:
    kinds = {
        ("clusters", "type"): ClusterType,
        ("clusters", "status"): ClusterStatus,
        ("cluster_agents", "role"): AgentRole,
        ("cluster_agents", "status"): AgentStatus,
    }
    return {
        f"{table}.{column}": ", ".join(f"'{member}'" for member in kind)
        for (table, column), kind in kinds.items()
    }


async def test_native_enumerations_and_jsonb_without_defaults_serve_too(
    engine: AsyncEngine, services: Services
) -> None:
    """A backend that chose native enumerations, jsonb and `NOT NULL` without defaults works."""
    await schema.create_in_empty(engine)
    for number, (name, members) in enumerate(_enumerations().items()):
        table, column = name.split(".")
        alter = f"ALTER TABLE {table} ALTER {column}"
        await run(
            engine,
            f"CREATE TYPE kind{number} AS ENUM ({members})",
            f"{alter} DROP DEFAULT",
            f"{alter} TYPE kind{number} USING {column}::kind{number}",
        )
    for column in ("capabilities", "skills", "config"):
        alter = f"ALTER TABLE cluster_agents ALTER {column}"
        await run(engine, f"{alter} DROP DEFAULT", f"{alter} TYPE jsonb", f"{alter} SET NOT NULL")
    await run(engine, "ALTER TABLE clusters ALTER config DROP DEFAULT, ALTER config TYPE jsonb")
    for column in ("health_score", "tasks_completed", "tasks_failed", "avg_task_duration"):
        await run(engine, f"ALTER TABLE cluster_agents ALTER {column} DROP DEFAULT")
    await schema.check(engine)
    # What the connections had prepared was for the old types.
    await services.engine.dispose()
    wanted = SpawnAgent("demo", AgentDef(role="worker", name="First", capabilities=["a"]))
    answer = await spawn_agent(wanted, "t", services)
    assert answer["current_workers"] == 1
    assert await spawn_agent(wanted, "t", services) == answer
    assert (await scale_cluster(ScaleCluster("demo", 2), "s", services))["after"] == 2
    task = DelegatedTask({}, required_capabilities=["a"])
    given = await delegate_task(DelegateTask("demo", task), "d", services)
    assert given["agent"]["id"] == answer["id"]
    assert (await scale_cluster(ScaleCluster("demo", 0), "z", services))["stopping"] == [
        answer["id"]
    ]
    done = Ending(success=True, seconds=1.0)
    assert await missions.free(services, answer["id"], given["mission"]["task_id"], done)
    assert await missions.mend(services) == []
    stopped = "SELECT count(*) FROM cluster_agents WHERE status = 'stopped'"
    assert await value(engine, stopped) == 2
