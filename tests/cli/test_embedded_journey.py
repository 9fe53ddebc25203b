import json
import signal
import subprocess
from pathlib import Path

from runtime.embedded.binaries import postgres_program
from runtime.embedded.postgres import PostgresProgram
from tests.cli.commands import Worker, run
from tests.embedded_user import processes
from tests.polling import eventually

PAYLOAD = json.dumps(
    {
        "cluster_id": "demo",
        "agent_def": {
            "role": "worker",
            "name": "Content Creator",
            "capabilities": ["copywriting"],
        },
    }
)


def agents(data_dir: Path) -> str:
    """Return the demo cluster's workers, as the database has them."""
    query = "SELECT role, capabilities FROM cluster_agents WHERE role = 'worker'"
    where = ["-h", str(PostgresProgram(data_dir).socket.parent), "-p", "5432", "-U", "brain"]
    command = [str(postgres_program("psql")), "-XAtq", *where, "-d", "brain", "-c", query]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_first_task_without_any_configuration(tmp_path: Path) -> None:
    """With nothing set a worker starts both servers, and a push makes a row that outlives them."""
    data_dir = tmp_path / ".brain"
    with Worker(tmp_path, "--handlers", "brain").ready() as worker:
        worker.says("Ctrl-C ends the worker")
        assert "push spawn_agent" in worker.log()
        done = run(tmp_path, "push", "spawn_agent", PAYLOAD, "--wait")
        assert done.returncode == 0, done
        assert "Task succeeded" in done.stdout
        assert "copywriting" in agents(data_dir)
        assert "brain:cluster_tasks" in run(tmp_path, "status").stdout
        worker.signal(signal.SIGINT)
        assert worker.end() == 0, worker.log()
    eventually(lambda: not processes(data_dir))
    with Worker(tmp_path, "--handlers", "brain").ready() as worker:
        again = run(tmp_path, "push", "health_check", '{"cluster_id": "demo"}', "--wait", "--json")
        assert json.loads(again.stdout)["success"] is True, again
        assert "copywriting" in agents(data_dir)
        assert worker.stop() == 0, worker.log()


def test_a_signal_while_servers_start(tmp_path: Path) -> None:
    """A signal while private servers are being made ends the worker, and leaves none behind."""
    with Worker(tmp_path, "--handlers", "brain") as worker:
        eventually((tmp_path / ".brain" / "postgres").exists)
        assert worker.stop() == 0, worker.log()
        assert "takes tasks" not in worker.log()
    eventually(lambda: not processes(tmp_path / ".brain"))
