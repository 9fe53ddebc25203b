"""The database's URL, the engine's settings, and transactions that are tried again."""

import asyncio
import os
import signal
import socket

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from runtime.brain import database
from runtime.brain.errors import DatabaseRefusedError, DatabaseUnreachableError, DatabaseUrlError
from runtime.brain.services import Services
from tests.brain.conftest import World
from tests.servers import Postgres

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql", "postgres"])
async def test_each_form_of_the_url_connects(database_url: str, scheme: str) -> None:
    """The contract's form and the two that other tools write lead to the same database."""
    engine = database.engine(database_url.replace("postgresql+asyncpg", scheme), concurrency=1)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT current_database()")) in database_url
    await engine.dispose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:hunter2@h/db", "DATABASE_URL begins with 'mysql://'"),
        ("hunter2", "DATABASE_URL isn't a URL"),
        ("", "DATABASE_URL isn't a URL"),
        ("postgresql://u:hunter2@h:port/db", "DATABASE_URL has a host or port"),
        ("postgresql://u:hunter2@h:70000/db", "DATABASE_URL has port 70000"),
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str, words: str) -> None:
    """One sentence names the setting, what came and what was expected, and no secret."""
    with pytest.raises(DatabaseUrlError) as caught:
        database.engine(url, concurrency=1)
    assert str(caught.value).startswith(words)
    assert "expected postgresql+asyncpg://" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def unreachable(url: str) -> DatabaseUnreachableError:
    engine = database.engine(url, concurrency=1)
    with pytest.raises(DatabaseUnreachableError) as caught:
        async with engine.connect():
            pass
    await engine.dispose()
    return caught.value


async def test_a_refused_connection_is_told_in_one_sentence() -> None:
    """The sentence says where the database was looked for and keeps the password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = await unreachable(f"postgresql://u:hunter2@127.0.0.1:{port}/brain")
    assert error.address == f"127.0.0.1:{port}/brain"
    assert error.problem == "the connection is refused"
    assert "hunter2" not in str(error)


async def test_a_name_with_several_addresses_is_told_the_same() -> None:
    """`localhost` may stand for two addresses: the sentence doesn't recite both failures."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await unreachable(f"postgresql://u@localhost:{taken.getsockname()[1]}/brain")
    assert error.problem == "the connection is refused"


async def test_a_missing_database_is_named(database_url: str) -> None:
    """The server's own words are kept: which database doesn't exist."""
    error = await unreachable(database_url + "_nowhere")
    assert error.problem.endswith('_nowhere" does not exist')


async def test_a_missing_socket_is_told(tmp_path: object) -> None:
    """A Unix socket that isn't there is named by its directory."""
    error = await unreachable(f"postgresql://u@/brain?host={tmp_path}")
    assert error.address == f"{tmp_path}/brain"
    assert error.problem == "there is no such socket"


async def test_a_unix_socket_and_query_options_are_taken(
    postgres_server: Postgres, database_url: str
) -> None:
    """`host` in the query leads to a Unix socket; `ssl` means what `sslmode` does."""
    name = database_url.rpartition("/")[2]
    where = f"host={postgres_server.directory}&port={postgres_server.port}"
    url = f"postgresql+asyncpg://postgres@/{name}?{where}&ssl=disable"
    engine = database.engine(url, concurrency=1)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT inet_server_addr()")) is None
    await engine.dispose()


async def test_connections_bear_our_settings(postgres_server: Postgres, database_url: str) -> None:
    """A connection is named for its user, bounds its statements, and isolates as we rely on."""
    name = database_url.rpartition("/")[2]
    stricter = "default_transaction_isolation = 'serializable'"
    postgres_server.execute(f"ALTER DATABASE {name} SET {stricter}")
    engine = database.engine(database_url, concurrency=1, application_name="brain-worker w1")
    async with engine.connect() as connection:
        settings = {
            name: await connection.scalar(text(f"SHOW {name}"))
            for name in ("application_name", "statement_timeout", "transaction_isolation")
        }
    await engine.dispose()
    assert settings == {
        "application_name": "brain-worker w1",
        "statement_timeout": "30s",
        "transaction_isolation": "read committed",
    }


async def test_a_pooled_connection_survives_a_restart(
    postgres_server: Postgres, database_url: str
) -> None:
    """After the server was killed and restarted, the next transaction just works."""
    engine = database.engine(database_url, concurrency=1)
    await database.transaction(engine, lambda session: session.scalar(text("SELECT 1")))
    await asyncio.to_thread(postgres_server.restart)
    one = await database.transaction(engine, lambda session: session.scalar(text("SELECT 1")))
    await engine.dispose()
    assert one == 1


async def test_a_connection_lost_in_the_middle_is_replaced(
    postgres_server: Postgres, services: Services, world: World
) -> None:
    """A transaction whose server is killed and restarted in its middle runs again and commits."""
    await world.cluster()
    runs = 0

    async def work(session: AsyncSession) -> None:
        nonlocal runs
        runs += 1
        add = text("UPDATE clusters SET tasks_completed = tasks_completed + 1 WHERE id = 'c'")
        await session.execute(add)
        if runs == 1:
            await asyncio.to_thread(postgres_server.restart)

    await database.transaction(services.engine, work)
    assert runs == 2
    assert (await world.get_cluster()).tasks_completed == 1


async def test_a_connection_lost_each_time_is_told_in_words(
    postgres_server: Postgres, services: Services
) -> None:
    """A backend that dies in every attempt is told as a database that can't be used."""

    async def work(session: AsyncSession) -> None:
        backend = await session.scalar(text("SELECT pg_backend_pid()"))
        os.kill(backend, signal.SIGTERM)
        await session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(DatabaseUnreachableError) as caught:
        await database.transaction(services.engine, work)
    assert caught.value.address.startswith(f"127.0.0.1:{postgres_server.port}/")
    assert "terminating connection" in caught.value.problem


async def test_a_deadlock_is_resolved(services: Services, world: World) -> None:
    """Two transactions that lock two rows crosswise both commit: the victim runs again."""
    await world.cluster("a")
    await world.cluster("b")
    both_hold_one = asyncio.Barrier(2)
    runs = []

    async def lock(first: str, second: str, session: AsyncSession) -> None:
        runs.append(first)
        add = text("UPDATE clusters SET tasks_completed = tasks_completed + 1 WHERE id = :id")
        await session.execute(add, {"id": first})
        if len(runs) <= 2:
            await both_hold_one.wait()
        await session.execute(add, {"id": second})

    await asyncio.gather(
        database.transaction(services.engine, lambda session: lock("a", "b", session)),
        database.transaction(services.engine, lambda session: lock("b", "a", session)),
    )
    assert len(runs) == 3
    assert (await world.get_cluster("a")).tasks_completed == 2
    assert (await world.get_cluster("b")).tasks_completed == 2


async def attempts_until_raised(engine: AsyncEngine, state: str) -> int:
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        raising = f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
        await session.execute(text(raising))

    with pytest.raises(DatabaseRefusedError) as caught:
        await database.transaction(engine, work)
    assert f"refused: no (SQLSTATE {state})." in str(caught.value)
    assert "SELECT" not in str(caught.value)
    return attempts


async def test_retries_are_bounded_and_for_conflicts_alone(services: Services) -> None:
    """A conflict is tried five times at most; any other error is raised at once."""
    assert await attempts_until_raised(services.engine, "40001") == 5
    assert await attempts_until_raised(services.engine, "40P01") == 5
    assert await attempts_until_raised(services.engine, "23505") == 1
