"""Creates BRAiN's tables in an empty database, and checks those of any other.

The tables belong to BRAiN's backend and its migrations: nothing here alters one that exists.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from attrs import frozen
from sqlalchemy import JSON, DateTime, Float, Integer, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.types import TypeEngine

from runtime.brain.clock import stored, utc_now
from runtime.brain.errors import SchemaError
from runtime.brain.identity import agent_row_id, public_agent_id
from runtime.brain.tables import (
    AgentRole,
    AgentStatus,
    Base,
    Cluster,
    ClusterAgent,
    ClusterStatus,
    ClusterType,
    EnumText,
)

DEMO_CLUSTER: Final = "demo"
# Any number will do, as long as nobody else's advisory lock has it.
CREATION_LOCK: Final = 0x427241694E

_TEXT: Final = frozenset({"character varying", "text", "character"})
_INTEGER: Final = frozenset({"integer", "bigint", "smallint"})
_NUMBER: Final = frozenset({"double precision", "real", "numeric"}) | _INTEGER
_TIME: Final = frozenset({"timestamp without time zone"})
_JSON: Final = frozenset({"json", "jsonb"})
_ENUM: Final = "an enumeration"

_COLUMNS: Final = text("""
    SELECT a.attname AS name,
           CASE WHEN t.typtype = 'e' THEN 'an enumeration'
                ELSE format_type(a.atttypid, NULL) END AS type
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
""")


async def create_in_empty(engine: AsyncEngine, *, clock: Callable[[], datetime] = utc_now) -> bool:
    """Create BRAiN's tables and the `demo` cluster if the database holds none of the tables.

    The demo cluster is `active`, has a supervisor and says what its workers are like, so that it
    can be scaled and its first worker can be spawned.
    Processes that do this at the same moment take turns: one creates, the others find it done.

    Args:
        engine: The database.
        clock: Tells the time that the demo's rows bear, aware.

    Returns:
        Whether the tables were created.

    A cancellation leaves the database as it was.
    """
    now = stored(clock())
    async with engine.begin() as connection:
        # Released at the end of the transaction; `CREATE TABLE IF NOT EXISTS` alone is a race.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATION_LOCK})
        for table in Base.metadata.tables:
            if await _columns(connection, table):
                return False
        await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(connection) as session:
            session.add(_demo_cluster(now))
            await session.flush()
            session.add(_demo_supervisor(now))
            await session.flush()
    return True


async def check(engine: AsyncEngine) -> None:
    """Compare the database with what the handlers need. Columns that we don't know are fine.

    A cancellation leaves nothing behind.

    Raises:
        SchemaError: A table or a column is missing, or a column has a type that can't be used.
    """
    async with engine.connect() as connection:
        for table, needed in _needed().items():
            compare(table, needed, await _columns(connection, table))


@frozen
class Needed:
    """A column that the code needs: its name and the server's types that serve."""

    name: str
    types: frozenset[str]


def compare(table: str, needed: list[Needed], found: Mapping[str, str]) -> None:
    """Compare one table's needed columns with those found, name to type.

    Raises:
        SchemaError: The first difference that matters.
    """
    if not found:
        raise SchemaError(table, None, "is missing")
    for column in needed:
        if column.name not in found:
            raise SchemaError(table, column.name, "is missing")
        came = found[column.name]
        if came not in column.types:
            expected = " or ".join(sorted(column.types))
            raise SchemaError(table, column.name, f"is of type {came}, expected {expected}")


def _needed() -> dict[str, list[Needed]]:
    return {
        name: [Needed(column.name, _types(column.type)) for column in table.columns]
        for name, table in Base.metadata.tables.items()
    }


def _types(declared: TypeEngine[object]) -> frozenset[str]:
    match declared:
        case EnumText():
            return _TEXT | {_ENUM}
        case JSON():
            return _JSON
        case DateTime():
            return _TIME
        case Float():
            return _NUMBER
        case Integer():
            return _INTEGER
        case _:
            return _TEXT


async def _columns(connection: AsyncConnection, table: str) -> dict[str, str]:
    rows = await connection.execute(_COLUMNS, {"table": table})
    return {row.name: row.type for row in rows}


def _demo_cluster(now: datetime) -> Cluster:
    return Cluster(
        id=DEMO_CLUSTER,
        name="Demo",
        type=ClusterType.PERSISTENT,
        status=ClusterStatus.ACTIVE,
        created_at=now,
        started_at=now,
        last_active=now,
        description="A cluster to try things on.",
        config={"worker": {"name": "Demo worker", "capabilities": ["demo"]}},
    )


def _demo_supervisor(now: datetime) -> ClusterAgent:
    row_id = agent_row_id(f"{DEMO_CLUSTER}/supervisor")
    return ClusterAgent(
        id=row_id,
        cluster_id=DEMO_CLUSTER,
        agent_id=public_agent_id(AgentRole.SUPERVISOR, row_id),
        role=AgentRole.SUPERVISOR,
        status=AgentStatus.ACTIVE,
        config={"name": "Demo supervisor"},
        spawned_at=now,
        last_active=now,
    )
