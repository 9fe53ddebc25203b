import re
from pathlib import Path

from tests.demo.terminal import OnTerminal

COLOURED = re.compile(r"\x1b\[(?:\d+;)*[39][0-7][;m]")


SHOW = """\
from runtime.demo.screens import screen
from tests.demo.moments import AFTER_THE_KILL
with screen() as shown:
    shown.show(AFTER_THE_KILL)
"""


class Drawing(OnTerminal):
    """One moment, shown on a terminal."""

    _command = ("-c", SHOW)


class SmallDrawing(Drawing):
    """The same on a terminal that is too small for a view."""

    columns, lines = 60, 24


def drawn(terminal: Drawing) -> str:
    """Return all that a terminal was sent."""
    with terminal:
        assert terminal.end() == 0, terminal.text
    return terminal.text


def test_a_live_view(tmp_path: Path) -> None:
    """A terminal shows the view on a screen of its own, in colour, and leaves the last moment."""
    terminal = Drawing(tmp_path)
    assert COLOURED.search(drawn(terminal))
    assert any("worker-2 died" in line for line in terminal.frames()[0])
    assert any("worker-2 died" in line for line in terminal.after())


def test_no_colour(tmp_path: Path) -> None:
    """With NO_COLOR the view is the same, without colour."""
    terminal = Drawing(tmp_path, NO_COLOR="1")
    assert not COLOURED.search(drawn(terminal))
    assert any("worker-2 died" in line for line in terminal.frames()[0])


def test_a_dumb_terminal(tmp_path: Path) -> None:
    """A terminal that knows no control sequences gets plain lines."""
    text = drawn(Drawing(tmp_path, TERM="dumb"))
    assert "\x1b" not in text
    assert " 19.5 s    event 39" in text


def test_a_small_terminal(tmp_path: Path) -> None:
    """A terminal that has no room for the view gets plain lines."""
    text = drawn(SmallDrawing(tmp_path))
    assert "\x1b[?1049h" not in text
    assert "  0.0 s  > event 0" in text
