"""Columns of text that fit into a width, one line a row.

A name that is too long loses its middle: its end is what tells containers of one kind apart.
"""

from collections.abc import Sequence
from typing import Final

from attrs import frozen
from rich.cells import cell_len, set_cell_size

_GAP: Final = 2
_NARROW: Final = 100
"""Columns of a screen below which the gap is one."""

_LEAST: Final = 8
"""Cells below which a column isn't shortened."""


@frozen
class Column:
    """A column.

    Attributes:
        heading: what stands above it.
        right: whether it is set to the right, as numbers are.
        gives: whether it may be shortened.
    """

    heading: str
    right: bool = True
    gives: bool = False


def grid(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, marks: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Set rows below their headings; return lines, each with its style.

    Args:
        columns: the columns. One whose cells are all empty is left out.
        rows: the cells, as many in each row as there are columns.
        width: cells of a line at most.
        marks: the style of each row; by default none.
    """
    used = [n for n, _ in enumerate(columns) if n == 0 or any(row[n] for row in rows)]
    shown = [columns[n] for n in used]
    cells = [[_clean(row[n]) for n in used] for row in rows]
    gap = 1 if width < _NARROW else _GAP
    widths = _fit(shown, cells, width - gap * (len(shown) - 1))
    heading = [column.heading for column in shown]
    lines = [_line(shown, row, widths, gap, width) for row in (heading, *cells)]
    styles = ["bold", *(marks or [""] * len(rows))]
    return list(zip(lines, styles, strict=True))


def shortened(text: str, width: int) -> str:
    """Take out of a text's middle what is too much for a width."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    tail = (width - 1) // 2
    head = width - 1 - tail
    begin = set_cell_size(text, head).rstrip()
    end = text[len(text) - tail :] if tail else ""
    while cell_len(end) > tail:
        end = end[1:]
    return f"{begin}…{end}"


def _clean(text: str) -> str:
    """Take line ends and what else moves a cursor out of what others have written."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    widths = [
        max(cell_len(column.heading), *(cell_len(row[n]) for row in rows), 0)
        for n, column in enumerate(columns)
    ]
    giving = [n for n, column in enumerate(columns) if column.gives]
    while sum(widths) > width and (wide := [n for n in giving if widths[n] > _LEAST]):
        widths[max(wide, key=lambda n: widths[n])] -= 1
    return widths


def _line(
    columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], gap: int, width: int
) -> str:
    parts = []
    for column, cell, most in zip(columns, row, widths, strict=True):
        text = shortened(cell, most)
        pad = " " * (most - cell_len(text))
        parts.append(pad + text if column.right else text + pad)
    return set_cell_size((" " * gap).join(parts).rstrip(), width).rstrip()
