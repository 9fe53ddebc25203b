"""`python -m runtime demo` as its users run it, to its end and to ends of other kinds."""

import os
import re
import signal
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.commands import run
from tests.demo.terminal import Demo, OnTerminal

pytestmark = pytest.mark.timeout(180)


ORDER = (
    "worker-2 (process",
    "research-001 is planned",
    "spawn_agent: supervisor-",
    "spawn_agent: worker-",
    "scale_cluster: from 1 to 6",
    "delegate_task: worker-",
    "collect_metrics: 6 of 7 agents busy",
    "killed with SIGKILL",
    "run elsewhere after",
    "went on where the killed worker had saved them",
    "collect_metrics: 0 of 7 agents busy",
    "scale_cluster: from 6 to 0",
)

TASKS = 20
"""Two spawns, two scalings, six delegations, six missions, two checks, two measurements."""


def test_two_at_once(tmp_path: Path) -> None:
    """A demo on a terminal and one in a pipe, at the same time, both show all and leave nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with OnTerminal(tmp_path / "a") as live, Demo(tmp_path / "b") as piped:
        assert live.end() == 0, live.text
        assert piped.end() == 0, piped.text
        check_view(live)
        check_lines(piped)
        live.left_nothing()
        piped.left_nothing()


def check_view(demo: OnTerminal) -> None:
    """Check that each moment had room on the screen, that it shows the kill, and its last words."""
    frames = demo.frames()
    assert len(frames) > 30
    assert all(len(frame) <= 24 for frame in frames)
    assert max(cell_len(line) for frame in frames for line in frame) <= 80
    killed = [frame for frame in frames if any("killed;" in line for line in frame)]
    assert any(re.search(r"worker-\d died", line) for frame in killed for line in frame)
    assert "hibernated" in frames[-1][0]
    assert "What happened" in "\n".join(demo.after())
    check_summary("\n".join(demo.after()[-24:]))


def check_lines(demo: Demo) -> None:
    """Check that what happened is there in plain lines, in its order, and the summary behind it."""
    assert "\x1b" not in demo.text
    places = [demo.text.index(part) for part in ORDER]
    assert places == sorted(places)
    check_summary(demo.text)


def check_summary(said: str) -> None:
    """Check what is said at the end: all answered once, the kill got over, the sum right."""
    assert re.search(r"The demo has ended after (\d+) s, and no task was lost:", said), said
    lines = re.findall(r"^  (\w[\w ]*?)  +(\S.*)$", said, re.MULTILINE)
    figures = {label: value.strip() for label, value in lines}
    assert int(figures["tasks pushed"]) == TASKS
    assert figures["answered once"] == figures["tasks pushed"]
    assert (figures["answered twice"], figures["lost"]) == ("0", "0")
    assert re.fullmatch(r"worker-\d, in the middle of \d missions?", figures["worker killed"])
    assert re.fullmatch(r"after \d+\.\d s", figures["back elsewhere"])
    assert figures["counted"] == "49,098 primes below 600,000"


def test_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    """Ctrl-C while the servers are being made ends it with 130, and nothing is left."""
    with OnTerminal(tmp_path) as demo:
        demo.says("Starting a private Valkey")
        demo.signal(signal.SIGINT)
        assert demo.end() == 130, demo.text
        assert "Traceback" not in demo.text
        demo.left_nothing()


def test_a_closed_terminal(tmp_path: Path) -> None:
    """A terminal that is closed in the middle of the missions ends it, and nothing is left."""
    with OnTerminal(tmp_path) as demo:
        demo.says("delegate_task: worker-")
        demo.close()
        assert demo.end() == 129
        demo.left_nothing()


def test_a_part_that_fails(tmp_path: Path) -> None:
    """A worker that dies otherwise than by the script is said in a sentence; nothing is left."""
    with Demo(tmp_path) as demo:
        pid = int(demo.says(r"worker-1 \(process (\d+)\)")[1])
        os.kill(pid, signal.SIGKILL)
        assert demo.end() == 1, demo.text
        assert "worker-1 has ended with exit code -9: " in demo.text.split("\n")[-2]
        assert "Traceback" not in demo.text
        demo.left_nothing()


def test_a_picture_without_a_place(tmp_path: Path) -> None:
    """A picture that has no directory to go to is wrong use, said before anything starts."""
    done = run(tmp_path, "demo", "--picture", str(tmp_path / "missing" / "demo.svg"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--picture is " in done.stderr
    assert "expected a file in a directory that is there" in done.stderr
