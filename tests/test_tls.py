"""TLS to Redis and PostgreSQL, with real certificates of an authority of our own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from actors import Member
from runtime import RedisBroker, TaskQueue
from runtime.brain import database
from runtime.brain.errors import DatabaseUnreachableError
from runtime.errors import ServerRefusedError, ServerUnreachableError
from runtime.redis.connection import async_client
from tests.certificates import KINDS, WORDS, Authority
from tests.cli.commands import SAMPLE, run
from tests.relay import relay
from tests.servers import Postgres, Valkey

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("redis_url")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def redis_tls(server: Valkey, authority: Authority, kind: str = "good") -> AsyncIterator[str]:
    """Put TLS in front of a server, and yield the URL that names the authority."""
    async with relay(server.socket, authority.context(kind)) as front:
        yield f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={authority.file}"


@asynccontextmanager
async def postgres_tls(
    server: Postgres, database_url: str, authority: Authority, kind: str = "good"
) -> AsyncIterator[str]:
    """Put TLS in front of a database, and yield the URL that names the authority."""
    socket = server.directory / f".s.PGSQL.{server.port}"
    name = database_url.rpartition("/")[2]
    async with relay(socket, upgrade=authority.context(kind)) as front:
        where = f"postgres@127.0.0.1:{front.port}/{name}"
        yield f"postgresql+asyncpg://{where}?sslmode=verify-full&sslrootcert={authority.file}"


async def worker(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a worker until its queue is empty, while the relay is served here."""
    return await asyncio.to_thread(run, directory, "--burst", *arguments, **variables)


OWN = ("--handlers", f"{SAMPLE}:handlers")


async def test_a_redis_server_that_the_authority_vouches_for(
    valkey_server: Valkey, authority: Authority, tmp_path: Path
) -> None:
    """A task is pushed, run and answered over TLS, each connection checked against the file."""
    async with redis_tls(valkey_server, authority) as url, TaskQueue(url) as queue:
        task_id = await queue.push_task("echo", {"a": 1})
        done = await worker(tmp_path, *OWN, REDIS_URL=url)
        assert done.returncode == 0, done
        assert (await queue.get_task_result(task_id, timeout=10))["result"] == {"a": 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_redis_server_that_nobody_vouches_for(
    valkey_server: Valkey, authority: Authority, tmp_path: Path, kind: str
) -> None:
    """Producer and worker refuse it in one sentence that says why and what to do; no retries."""
    async with redis_tls(valkey_server, authority, kind) as url:
        with pytest.raises(ServerUnreachableError) as caught:
            await TaskQueue(url).connect()
        with pytest.raises(ServerRefusedError) as refused:
            async with RedisBroker(url).join(Member("w", "w#1", 1, ("q",))):
                pass
        done = await worker(tmp_path, *OWN, REDIS_URL=url) if kind == KINDS[0] else None
    for told in (str(caught.value), str(refused.value)):
        assert "its TLS certificate isn't trusted" in told
        assert all(words in told for words in WORDS[kind]), told
    if done is not None:
        assert (done.returncode, done.stderr) == (2, f"{refused.value}\n")


async def test_a_redis_server_without_a_file_to_check_it_by(
    valkey_server: Valkey, authority: Authority
) -> None:
    """An authority that the system doesn't know has to be named, or checking is to be waived."""
    async with redis_tls(valkey_server, authority) as url:
        plain = url.partition("?")[0]
        with pytest.raises(ServerUnreachableError, match="ssl_ca_certs"):
            await TaskQueue(plain).connect()
        async with async_client(f"{plain}?ssl_cert_reqs=none&ssl_check_hostname=no") as client:
            assert await client.ping()


async def test_an_authority_file_that_holds_none(
    valkey_server: Valkey, authority: Authority, tmp_path: Path
) -> None:
    """A file without a certificate in it is an error of the setting, told in one sentence."""
    async with redis_tls(valkey_server, authority) as url:
        authority.file.write_text("no certificate")
        done = await worker(tmp_path, *OWN, REDIS_URL=url)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1


async def test_a_database_that_the_authority_vouches_for(
    postgres_server: Postgres, database_url: str, authority: Authority
) -> None:
    """Statements run over TLS when the certificate is good for the host."""
    async with postgres_tls(postgres_server, database_url, authority) as url:
        engine = database.engine(url, concurrency=1)
        assert await database.transaction(engine, lambda db: db.scalar(text("SELECT 1"))) == 1
        await engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_that_nobody_vouches_for(  # noqa: PLR0917 - fixtures
    valkey_server: Valkey,
    postgres_server: Postgres,
    database_url: str,
    authority: Authority,
    tmp_path: Path,
    kind: str,
) -> None:
    """Handlers and a worker at its start refuse it in one sentence; nobody waits for it."""
    async with postgres_tls(postgres_server, database_url, authority, kind) as url:
        engine = database.engine(url, concurrency=1)
        with pytest.raises(DatabaseUnreachableError) as caught:
            await database.transaction(engine, lambda db: db.scalar(text("SELECT 1")))
        await engine.dispose()
        variables = {"REDIS_URL": valkey_server.url, "DATABASE_URL": url}
        done = await worker(tmp_path, **variables) if kind == KINDS[0] else None
    told = str(caught.value)
    assert "its TLS certificate isn't trusted" in told
    assert all(words in told for words in WORDS[kind]), told
    assert not database.may_come(caught.value)
    if done is not None:
        assert (done.returncode, done.stderr) == (2, f"{told}\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("sslmode=verify-full&sslrootcert=/no/such", "/no/such"),
        ("sslmode=require", "speaks no TLS"),
    ],
)
async def test_a_database_without_tls(
    redis_url: str, database_url: str, tmp_path: Path, options: str, told: str
) -> None:
    """A worker that asks for TLS where there is none, or names no file, ends with a sentence."""
    url = f"{database_url}?{options}"
    done = await worker(tmp_path, REDIS_URL=redis_url, DATABASE_URL=url)
    assert done.returncode == 2, done
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
