"""The documents say what is true: paths, commands and options exist, snippets run."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import anyio
import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = (
    "push",
    "status",
    "health",
    "dead",
    "task",
    "cancel",
    "pause",
    "resume",
    "demo",
    "pool",
    "desired",
    "exporter",
)
PARTS = tuple(("dead", part) for part in ("list", "show", "requeue", "purge"))


def code_in(document: Path) -> str:
    """Return what a document sets as code, inline and in blocks, without whole Python blocks."""
    text = re.sub(r"^```python\n.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(re.findall(r"`([^`\n]+)`", text) + re.findall(r"^    .*$", text, re.MULTILINE))


@cache
def helps() -> str:
    """Return all that `--help` says, of the worker of each command, and of the benchmarks."""
    calls = [("runtime",), *(("runtime", command) for command in COMMANDS)]
    calls += [("runtime", *part) for part in PARTS]
    return "\n".join(
        subprocess.run(
            [sys.executable, "-m", *call, "--help"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
        ).stdout
        for call in [*calls, ("benchmarks",)]
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link of a document names a file of the project."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    relative = [link for link in links if "://" not in link]
    assert [link for link in relative if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document: Path) -> None:
    """Each path of one of the project's folders that a document names exists."""
    folders = "messages|actors|runtime|tests|benchmarks|deploy|docs"
    named = re.findall(rf"(?<![\w./-])((?:{folders})/[\w./*-]*)", code_in(document))
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/.")))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_exist(document: Path) -> None:
    """Each option of the command line that a document names is in its help."""
    lines = [
        line for line in code_in(document).split("\n") if not line.strip().startswith("docker")
    ]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(lines)))
    assert {option for option in named if option not in helps()} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    """Each command of `python -m runtime` that a document shows exists."""
    named = set(re.findall(r"python -m runtime ([a-z]+)", code_in(document)))
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_targets_exist(document: Path) -> None:
    """Each make target that a document names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", code_in(document))) <= targets


def test_handlers_page_runs() -> None:
    """The handlers page's first examples register, and its example of a test passes."""
    blocks = [body for kind, body in FENCE.findall((ROOT / "docs/handlers.md").read_text())]
    space: dict[str, object] = {"__name__": "handlers_page"}
    # A module of its own, so that annotations can be resolved.
    exec(compile(blocks[0], "handlers.md", "exec"), space)  # noqa: S102 - our own document
    example = next(block for block in blocks if "test_resize" in block)
    exec(compile(example, "handlers.md", "exec"), space)  # noqa: S102 - our own document
    anyio.run(space["test_resize"])  # type: ignore[arg-type]
    anyio.run(space["test_resize"], backend="trio")  # type: ignore[arg-type]
