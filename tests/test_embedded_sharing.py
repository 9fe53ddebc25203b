"""Private servers among processes that come, go and are killed."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded.valkey import ValkeyProgram
from tests.embedded_user import BOTH, User, processes, put, server, values
from tests.servers import eventually

NewUser = Callable[..., User]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory in which no server may be left behind."""
    yield tmp_path / "brain"
    left = processes(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture
def user(data_dir: Path) -> Iterator[NewUser]:
    """Starts users of the data directory, which are killed at the end at the latest."""
    with contextlib.ExitStack() as stack:
        yield lambda *kinds: stack.enter_context(User(data_dir, kinds or BOTH))


def test_shared(data_dir: Path, user: NewUser) -> None:
    """Processes that start at the same moment share one server of each kind till the last ends."""
    users = [user() for _ in range(3)]
    urls = [each.joined() for each in users]
    assert urls[0] == urls[1] == urls[2]
    pids = {kind: server(data_dir, kind) for kind in BOTH}
    running = processes(data_dir)
    # A process of a connection may have ended since; a server that had would be missed here.
    parents = {pid: parent for pid in running if (parent := _parent(pid)) is not None}
    started = [pid for pid, parent in parents.items() if parent not in running]
    assert sorted(started) == sorted(pids.values())
    users[0].leave()
    users[2].leave()
    assert {kind: server(data_dir, kind) for kind in BOTH} == pids
    users[1].leave()
    assert not processes(data_dir)


@pytest.mark.parametrize("kind", BOTH)
def test_comes_back(data_dir: Path, user: NewUser, kind: str) -> None:
    """What was stored is there after all have left and come again."""
    for expected in (["1"], ["1", "2"]):
        one = user(kind)
        one.joined()
        put(data_dir, kind, expected[-1])
        assert values(data_dir, kind) == expected
        one.leave()
        assert not processes(data_dir)


@pytest.mark.parametrize("kind", BOTH)
def test_killed_users(data_dir: Path, user: NewUser, kind: str) -> None:
    """Killed users don't count, and what they leave running is used, then stopped, by the next."""
    users = [user(kind), user(kind)]
    for each in users:
        each.joined()
    put(data_dir, kind, "1")
    pid = server(data_dir, kind)
    for each in users:
        each.kill()
    third = user(kind)
    third.joined()
    assert server(data_dir, kind) == pid
    assert values(data_dir, kind) == ["1"]
    third.leave()
    assert not processes(data_dir)


@pytest.mark.parametrize("kind", BOTH)
def test_killed_while_starting(data_dir: Path, user: NewUser, kind: str) -> None:
    """A user that is killed at any point of the first start doesn't keep the next from it."""
    for _ in range(3):
        one = user(kind)
        eventually(lambda: processes(data_dir), what="something of the server runs")
        one.kill()
    last = user(kind)
    last.joined()
    put(data_dir, kind, "1")
    last.leave()
    assert not processes(data_dir)


@pytest.mark.parametrize("kind", BOTH)
def test_killed_server(data_dir: Path, user: NewUser, kind: str) -> None:
    """A server that is killed comes back by itself with all that it had acknowledged."""
    one = user(kind)
    one.joined()
    put(data_dir, kind, "1")
    pid = _kill_server(data_dir, kind)
    eventually(lambda: server(data_dir, kind) not in {pid, None}, what="the server is back")
    eventually(lambda: _answered(data_dir, kind) == ["1"], what="the value is back")
    one.leave()
    assert not processes(data_dir)


def test_acknowledged(data_dir: Path, user: NewUser) -> None:
    """No write that Valkey has acknowledged is lost when it is killed in the midst of writes."""
    one = user("valkey")
    one.joined()
    for _ in range(3):
        before = len(values(data_dir, "valkey"))
        acknowledged: list[int] = []
        writing = threading.Thread(target=_write_until_killed, args=(data_dir, acknowledged))
        writing.start()
        eventually(lambda: len(acknowledged) > 200, what="200 writes are acknowledged")  # noqa: B023 - used up at once
        _kill_server(data_dir, "valkey")
        writing.join()
        eventually(lambda: _answered(data_dir, "valkey"), what="the server is back")
        # One more may have been written whose reply was lost.
        assert len(values(data_dir, "valkey")) - before - len(acknowledged) in {0, 1}
    one.leave()


@pytest.mark.parametrize("kind", BOTH)
def test_stale_files(data_dir: Path, user: NewUser, kind: str) -> None:
    """What a killed server left is no hindrance, even if its number is another process's now."""
    one = user(kind)
    one.joined()
    put(data_dir, kind, "1")
    one.kill()
    _kill_server(data_dir, kind)
    eventually(lambda: not processes(data_dir), what="all of the server has ended")
    pid_file = data_dir / "postgres" / "data" / "postmaster.pid"
    stale = [pid_file, data_dir / "postgres" / ".s.PGSQL.5432.lock"]
    for path in stale if kind == "postgres" else []:
        _, _, rest = path.read_text().partition("\n")
        path.write_text(f"{os.getpid()}\n{rest}")
    next_one = user(kind)
    next_one.joined()
    assert values(data_dir, kind) == ["1"]
    next_one.leave()
    assert not processes(data_dir)


def test_empty_pid_file(data_dir: Path, user: NewUser) -> None:
    """A pid file that was being written when the machine went down is no hindrance."""
    one = user("postgres")
    one.joined()
    one.leave()
    (data_dir / "postgres" / "data" / "postmaster.pid").touch()
    again = user("postgres")
    again.joined()
    again.leave()


def test_unfinished_database(data_dir: Path, user: NewUser) -> None:
    """A cluster whose making was interrupted is made anew."""
    aside = data_dir / "postgres" / "data.new"
    aside.mkdir(parents=True)
    (aside / "PG_VERSION").touch()
    one = user("postgres")
    one.joined()
    put(data_dir, "postgres", "1")
    one.leave()
    assert not aside.exists()


def test_interrupt(data_dir: Path, user: NewUser) -> None:
    """Ctrl-C in the terminal of who started the servers doesn't reach them."""
    first = user()
    first.joined()
    pids = {kind: server(data_dir, kind) for kind in BOTH}
    second = user()
    second.joined()
    first.interrupt()
    assert {kind: server(data_dir, kind) for kind in BOTH} == pids
    second.interrupt()
    assert not processes(data_dir)


@pytest.mark.parametrize("kind", BOTH)
def test_suspended(data_dir: Path, user: NewUser, kind: str) -> None:
    """A server that was suspended ends with its last user all the same."""
    one = user(kind)
    one.joined()
    pid = server(data_dir, kind)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    one.leave()
    assert not processes(data_dir)


@pytest.mark.parametrize("name", ["deep" * 30, "a b,c:d%20é"])
def test_awkward_path(tmp_path: Path, name: str) -> None:
    """A path too long for a socket, or with characters that URLs treat specially, works."""
    data_dir = tmp_path / name
    sockets = ValkeyProgram(data_dir).socket.parent
    assert not sockets.is_relative_to(tmp_path)
    with User(data_dir) as one, User(data_dir) as two:
        assert one.joined() == two.joined()
        assert sockets.stat().st_mode & 0o777 == 0o700
        for kind in BOTH:
            put(data_dir, kind, "1")
            assert values(data_dir, kind) == ["1"]
        one.leave()
        two.leave()
    assert not sockets.exists()
    assert not processes(tmp_path)


def _kill_server(data_dir: Path, kind: str) -> int:
    pid = server(data_dir, kind)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def _write_until_killed(data_dir: Path, acknowledged: list[int]) -> None:
    path = str(ValkeyProgram(data_dir).socket)
    with (
        redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0)) as client,
        contextlib.suppress(redis.ConnectionError),
    ):
        while True:
            acknowledged.append(client.rpush("values", "x"))


def _answered(data_dir: Path, kind: str) -> list[str] | None:
    try:
        return values(data_dir, kind)
    except (redis.ConnectionError, subprocess.CalledProcessError):
        return None


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
