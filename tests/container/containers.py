"""Runs the image that `run.sh` has built, with runc, contained as compose.yml says.

UID 1000, no capabilities, no new privileges, a read-only root, process ids of its own, and no
shell: those of the base are covered. The network is the machine's, so that servers on loopback can
be reached.
"""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.container.compose import ROOT
from tests.polling import eventually

WORK = ROOT / "build/container"
_SHELLS = ("usr/bin/dash", "usr/bin/bash")
_NUMBERS = itertools.count(1)


def image() -> dict[str, Any]:
    """Return what the image says of itself."""
    return _inspected("image.json")


def base() -> dict[str, Any]:
    """Return the same of its base."""
    return _inspected("base.json")


def rootfs() -> Path:
    """Return where the image's root file system is mounted."""
    return Path((WORK / "rootfs").read_text().strip())


def layers() -> list[tuple[int, str]]:
    """Return the layers, the base's first: how many bytes, and which instruction made them."""
    history = [entry for entry in image()["Docker"]["history"] if not entry.get("empty_layer")]
    sizes = [layer["size"] for layer in json.loads(image()["Manifest"])["layers"]]
    return [
        (size, " ".join(entry["created_by"].split()))
        for size, entry in zip(sizes, history, strict=True)
    ]


def _inspected(name: str) -> dict[str, Any]:
    found = json.loads((WORK / name).read_text())
    assert isinstance(found, dict)
    return found


class Container:
    """A container; on leaving it is gone.

    Args:
        directory: for its bundle, its log, and the volume that lies at /app/.brain.
        arguments: those of the entry point, or with `entrypoint` a whole command.
        entrypoint: what runs in place of the image's own.
        variables: its environment, beside the image's own.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        entrypoint: list[str] | None = None,
        **variables: str,
    ) -> None:
        self._name = f"brain-{directory.name}-{next(_NUMBERS)}"
        self._bundle = directory / self._name
        self.volume = self._bundle / "volume"
        self.volume.mkdir(parents=True)
        (self._bundle / "volume").chmod(0o777)
        self._log = self._bundle / "log"
        self._write_spec([*(entrypoint or _config()["Entrypoint"]), *arguments], variables)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._runc("run"), "--bundle", str(self._bundle), self._name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(
            [*self._runc("delete"), "--force", self._name], check=False, capture_output=True
        )
        self._process.wait(30)

    def logs(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> Self:
        """Wait until the log holds a text."""
        eventually(lambda: text in self.logs() or self._process.poll() is not None, what=text)
        assert text in self.logs(), self.logs()
        return self

    def runs(self) -> bool:
        """Return whether its first process has been started and hasn't ended."""
        done = subprocess.run([*self._runc("state"), self._name], check=False, capture_output=True)
        return done.returncode == 0 and json.loads(done.stdout)["status"] == "running"

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return subprocess.run(
            [*self._runc("exec"), self._name, *command],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check."""
        return self.exec(*_config()["Healthcheck"]["Test"][1:])

    def signal(self) -> None:
        """Send the image's stop signal to its first process."""
        name = _config()["StopSignal"].removeprefix("SIG")
        subprocess.run([*self._runc("kill"), self._name, name], check=True, capture_output=True)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return self._process.wait(60)

    def _runc(self, command: str) -> list[str]:
        return ["runc", "--root", str(WORK / "runc"), command]

    def _write_spec(self, words: list[str], variables: dict[str, str]) -> None:
        subprocess.run(self._runc("spec"), check=True, cwd=self._bundle)
        file = self._bundle / "config.json"
        spec = json.loads(file.read_text())
        user, _, group = _config()["User"].partition(":")
        own = [f"{name}={value}" for name, value in variables.items()]
        spec["root"] = {"path": str(rootfs()), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "cwd": _config()["WorkingDir"],
            "args": words,
            "env": [*_config()["Env"], *own],
            "capabilities": dict.fromkeys(spec["process"]["capabilities"], ()),
            "noNewPrivileges": True,
        }
        spaces = spec["linux"]["namespaces"]
        spec["linux"]["namespaces"] = [one for one in spaces if one["type"] != "network"]
        spec["mounts"] = [
            one for one in spec["mounts"] if not one["destination"].startswith("/sys")
        ]
        spec["mounts"] += [
            _bind(self.volume, "/app/.brain", "rw"),
            _bind(Path(__file__).parent / "own_tasks.py", "/app/own_tasks.py", "ro"),
            *(_bind(Path("/dev/null"), f"/{shell}", "ro") for shell in _SHELLS),
        ]
        file.write_text(json.dumps(spec))


def _config() -> dict[str, Any]:
    found = image()["Docker"]["config"]
    assert isinstance(found, dict)
    return found


def _bind(source: Path, destination: str, mode: str) -> dict[str, Any]:
    options = ["bind", mode]
    return {"destination": destination, "type": "bind", "source": str(source), "options": options}
