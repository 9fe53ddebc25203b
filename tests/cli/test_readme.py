import re
import shlex
from pathlib import Path

import pytest

from runtime.cli.app import run as run_here
from runtime.cli.options import VARIABLES
from runtime.cli.screen import Facts, push_command
from tests.cli.commands import ROOT, Queue, run

README = (ROOT / "README.md").read_text()


def test_the_settings_are_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """README's table and --help name the same options and environment variables."""
    assert run_here(["--help"]) == 0
    shown = capsys.readouterr().out
    listed = set(re.findall(r"^\| `(--[a-z-]+)`", README, re.MULTILINE))
    assert listed == set(re.findall(r"^│ (--[a-z-]+)", shown, re.MULTILINE)) - {
        "--help",
        "--version",
    }
    rows = [line.split("|") for line in README.splitlines() if line.startswith("| `--")]
    assert {row[2].strip(" `") for row in rows} - {""} == set(VARIABLES)


def test_links_lead_somewhere() -> None:
    """Each file that README links to exists."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_push_command_is_what_the_screen_says() -> None:
    """The first command of README and the one that a fresh worker shows push the same task."""
    line = next(line for line in README.splitlines() if " push spawn_agent " in line)
    facts = Facts(
        worker_id="w",
        queues=("brain:cluster_tasks",),
        types=("spawn_agent",),
        slots=2,
        redis="unix:///x",
        redis_is_private=True,
        redis_has_secret=False,
        database=None,
        data_dir=None,
        first_task=("spawn_agent", "brain:cluster_tasks"),
    )
    assert shlex.split(line)[1:] == shlex.split(push_command(facts))[1:]


def test_the_handlers_run(tmp_path: Path, redis_url: str) -> None:
    """README's handlers, saved in the current directory, run as it says."""
    module = next(
        text
        for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        if "handlers = Handlers(" in text
    )
    (tmp_path / "my_tasks.py").write_text(module)
    with Queue(redis_url, "brain:mission_tasks") as queue:
        resized = queue.push("image.resize", {"image": "a", "width": 3})
        refused = queue.push("image.resize", {"image": "a", "width": 0})
        summed = queue.push("image.checksum", {"image": "ab"})
        done = run(tmp_path, "--handlers", "my_tasks:handlers", "--burst", REDIS_URL=redis_url)
        assert done.returncode == 0, done
        assert queue.answered(resized)["result"] == {"image": "a"}
        assert "expected at least 1" in queue.answered(refused)["result"]["error"]
        assert queue.answered(summed)["result"] == {"value": "ba"}
