"""Prints `requirements-worker.lock`: the part of `requirements.lock` that the image installs.

It is what the project needs with every extra that `all` lists, but for the private servers, and
what those packages need in turn, as the packages of this virtual environment say. The development
tools stay out. `make lock` writes the file, and a test compares it.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT: Final = Path(__file__).resolve().parent.parent
_NOT_IN_THE_IMAGE: Final = {"embedded"}
_OLDEST: Final = {"python_version": "3.11", "python_full_version": "3.11.0"}
"""The Python whose needs count: a later one needs no more, and the lock file's markers say so."""


def main() -> int:
    """Print the lock file."""
    sys.stdout.write(worker_lock())
    return 0


def worker_lock() -> str:
    """Return the lock file's text: lines of `requirements.lock`, in its order."""
    needed = _closure(_direct())
    lines = (_ROOT / "requirements.lock").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if canonicalize_name(line.partition("==")[0]) in needed)


def _direct() -> list[Requirement]:
    """Return what the project itself needs in the image."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    everything = "".join(extras["all"])
    chosen = set(re.findall(r"[a-z]+", everything.partition("[")[2])) - _NOT_IN_THE_IMAGE
    texts = [*project["dependencies"], *(text for name in sorted(chosen) for text in extras[name])]
    return [Requirement(text) for text in texts]


def _closure(direct: list[Requirement]) -> set[str]:
    """Return the names of the packages that these need, directly or not."""
    found: set[tuple[str, str]] = set()
    waiting = direct
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for need in _needs(name):
                if need.marker is None or need.marker.evaluate({**_OLDEST, "extra": extra}):
                    waiting.append(need)
    return {name for name, _ in found}


def _needs(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        # One that only an older Python than this one needs.
        return []


if __name__ == "__main__":
    sys.exit(main())
