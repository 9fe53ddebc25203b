import io
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from runtime.demo import picture
from runtime.demo.snapshot import Snapshot
from runtime.demo.view import LEAST_HEIGHT, LEAST_WIDTH, view
from tests.demo.moments import AFTER_THE_KILL, LABELS, snapshots

SIZES = [(80, 24), (200, 50)]


def drawn(snapshot: Snapshot, width: int, height: int) -> list[str]:
    """Return the lines of a view on a console of that size that knows no colour."""
    file = io.StringIO()
    console = Console(width=width, height=height, file=file, no_color=True)
    console.print(view(snapshot, width, height))
    return file.getvalue().rstrip("\n").split("\n")


def fits(lines: list[str], width: int, height: int) -> None:
    """Check that lines have room on a screen."""
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), SIZES)
@given(snapshot=snapshots)
@settings(max_examples=30, deadline=None)
def test_it_never_exceeds_the_screen(snapshot: Snapshot, width: int, height: int) -> None:
    """Whatever is to be seen, however much of it, the view is no larger than the screen."""
    fits(drawn(snapshot, width, height), width, height)


@given(width=st.integers(LEAST_WIDTH, 250), height=st.integers(LEAST_HEIGHT, 70))
@settings(max_examples=30, deadline=None)
def test_it_fits_into_any_terminal(width: int, height: int) -> None:
    """A view of a run has room on each terminal that is large enough for one."""
    fits(drawn(AFTER_THE_KILL, width, height), width, height)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_all_is_told_without_colour(width: int, height: int) -> None:
    """Headline, queues, workers, agents and missions with their states are there, in words."""
    whole = "\n".join(drawn(AFTER_THE_KILL, width, height))
    assert "…" not in whole
    assert "worker-2 is killed; its 3 missions must run elsewhere" in whole
    assert "research-001: scaling_down, 6 workers, health 1.00, load 100%" in whole
    assert "18.1 s" in whole
    lines = whole.split("\n")
    assert [words(line, "cluster", "0 1 0 0") for line in lines].count(True) == 1
    assert [words(line, "mission", "2 6 3 4") for line in lines].count(True) == 1
    assert [words(line, "worker-1", "alive 3/6 13 0.9 s") for line in lines].count(True) == 1
    assert [words(line, "worker-2", "killed 3/6 6 13.7 s") for line in lines].count(True) == 1
    for label in LABELS:
        assert whole.count(label) == 2, "with its agent, and by itself"
    for said in ("9,592 primes", "70%", "48 so far", "worker-2 died", "waits", "no memory"):
        assert said in whole
    assert whole.count("busy") == 6


def words(line: str, first: str, others: str) -> bool:
    """Say whether a line of a table holds a word with a prefix of its own, and those behind it."""
    return first in line and others in " ".join(line.split())


def test_what_has_no_room_is_counted() -> None:
    """Agents that have no room are said to be there, and the log keeps its newest lines."""
    many = evolve(AFTER_THE_KILL, agents=5 * AFTER_THE_KILL.agents)
    lines = drawn(many, 80, 24)
    shown = sum("busy" in line or "supervisor" in line for line in lines)
    assert any(f"and {35 - shown} more" in line for line in lines)
    assert any("event 39" in line for line in lines)


def test_the_picture_loads_nothing(tmp_path: Path) -> None:
    """The picture shows the moment, is small, and refers to nothing outside of itself."""
    file = tmp_path / "demo.svg"
    picture.write(AFTER_THE_KILL, file)
    svg = file.read_text()
    assert "worker-2&#160;died" in svg
    assert len(svg) < 100_000
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
