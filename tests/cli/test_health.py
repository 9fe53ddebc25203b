import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from runtime import state_file
from runtime.cli.health import judge
from runtime.errors import ConfigurationError
from runtime.state_file import Note, StateFile
from tests.cli.commands import Queue, Worker, count, environment, run
from tests.polling import eventually
from tests.servers import free_port

NOTE = Note("w", 1, 1, written_at=1000.0, stall_limit=600.0)


def test_a_late_note_is_not_ill_before_the_stall_limit() -> None:
    """A worker is alive until its event loop hasn't turned for longer than its stall limit."""
    assert judge([NOTE], 1600.0, None, Path("x"))[0] == 0
    code, sentence = judge([NOTE], 1606.0, None, Path("x"))
    assert code == 1
    assert "its event loop hasn't turned for 606 s" in sentence


def test_all_workers_count_unless_one_is_named() -> None:
    """One worker that is ill makes the machine ill; a named worker alone counts."""
    both = [NOTE, evolve(NOTE, worker_id="other", written_at=9000.0)]
    assert judge(both, 9000.0, None, Path("x"))[0] == 1
    assert judge(both, 9000.0, "other", Path("x")) == (0, "Alive: other")
    assert judge(both, 9000.0, "third", Path("x"))[0] == 1


def test_only_living_processes_count(tmp_path: Path) -> None:
    """A note counts while a process of its number and start time lives, and no longer."""
    mine = StateFile(tmp_path, "mine", 1.0)
    text = json.loads((tmp_path / f"{os.getpid()}.json").read_text())
    reused = {**text, "started": text["started"] + 1}
    (tmp_path / "1.json").write_text(json.dumps(reused))
    (tmp_path / "2.json").write_text("{")
    assert [note.worker_id for note in state_file.notes(tmp_path)] == ["mine"]
    mine.remove()
    assert state_file.notes(tmp_path) == []


def test_the_next_worker_sweeps(tmp_path: Path) -> None:
    """A new worker removes what dead ones have left, and nothing else."""
    (tmp_path / "99999999.json").write_text("{}")
    (tmp_path / "note.txt").touch()
    StateFile(tmp_path, "mine", 1.0)
    assert {path.name for path in tmp_path.iterdir()} == {"note.txt", f"{os.getpid()}.json"}


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    """Nobody else may be able to forge a note."""
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="others can write to it"):
        StateFile(tmp_path, "mine", 1.0)


def test_the_place_of_the_notes(tmp_path: Path) -> None:
    """The chosen directory goes before XDG_RUNTIME_DIR, and that before a temporary one."""
    variables = {"XDG_RUNTIME_DIR": "/run/user/1"}
    assert state_file.place(tmp_path, variables) == tmp_path
    assert state_file.place(None, variables) == Path("/run/user/1/brain-worker")
    assert state_file.place(None, {}).name == f"brain-worker-{os.geteuid()}"


def test_health_of_a_worker_that_runs_a_long_task(tmp_path: Path, redis_url: str) -> None:
    """A busy worker is alive; after its drain, and after a kill, there is none."""
    began = tmp_path / "began"
    with Queue(redis_url) as queue:
        queue.push("until", {"began": str(began), "file": str(tmp_path / "never")})
    with Worker(tmp_path, "--worker-id", "w", "--grace", "0", REDIS_URL=redis_url) as worker:
        eventually(lambda: count(began) == 1)
        alive = run(tmp_path, "health")
        assert (alive.returncode, alive.stdout) == (0, "Alive: w\n")
        assert run(tmp_path, "health", "--worker-id", "v").returncode == 1
        assert worker.stop() == 0
    gone = run(tmp_path, "health")
    assert (gone.returncode, len(gone.stdout.splitlines())) == (1, 1)
    with Worker(tmp_path, REDIS_URL=redis_url).ready():
        pass
    assert run(tmp_path, "health").returncode == 1


def test_a_stuck_event_loop_is_ill(tmp_path: Path, redis_url: str) -> None:
    """A worker whose event loop is stuck past --stall-limit is ill, though its process lives."""
    began = tmp_path / "began"
    with Queue(redis_url) as queue:
        queue.push("block", {"began": str(began)})
    with Worker(tmp_path, "--stall-limit", "1.5", REDIS_URL=redis_url):
        eventually(lambda: count(began) == 1)
        eventually(lambda: "is stuck" in run(tmp_path, "health").stdout)


def test_a_worker_that_waits_for_its_server_is_alive(tmp_path: Path) -> None:
    """Waiting for a server isn't an illness: a restart would not help."""
    url = f"redis://127.0.0.1:{free_port()}"
    with Worker(tmp_path, "--redis-url", url) as worker:
        worker.says("Waiting for the Redis server")
        assert run(tmp_path, "health").returncode == 0


def test_light_commands_load_little(tmp_path: Path) -> None:
    """`health` loads neither Redis, the actors nor asyncio; `push` no database."""
    heavy = {
        "health": ("redis", "asyncio", "anyio", "loguru", "sqlalchemy", "rich.console"),
        "push": ("sqlalchemy", "asyncpg", "rich.console"),
    }
    for command, modules in heavy.items():
        words = [command] if command == "health" else [command, "a", "{}"]
        code = (
            "import sys; from runtime.cli.app import run; run(sys.argv[2:]); "
            "print(*[name for name in sys.argv[1].split() if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, " ".join(modules), *words],
            check=True,
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.stdout.splitlines()[-1] == "", done.stdout
