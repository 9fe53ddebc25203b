"""The view of a moment as an SVG, for a document."""

import io
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType

from runtime.demo.errors import DemoError
from runtime.demo.snapshot import Snapshot
from runtime.demo.view import view

_WIDTH: Final = 100
_HEIGHT: Final = 28

_FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich's own, but without the fonts that it would have loaded from elsewhere."""


def write(snapshot: Snapshot, path: Path) -> None:
    """Write a moment's view into a file.

    Raises:
        DemoError: the file can't be written.
    """
    seen = view(snapshot, _WIDTH, _HEIGHT)
    svg = drawn(seen, "python -m runtime demo", "demo", _WIDTH, _HEIGHT)
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise DemoError(f"The picture can't be written: {error}.") from error


def drawn(shown: RenderableType, title: str, name: str, width: int, height: int) -> str:
    """Draw a terminal with something on it, as SVG.

    Args:
        shown: what.
        title: of the terminal.
        name: of the picture, for what is named within it.
        width: in columns.
        height: in lines.
    """
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        legacy_windows=False,
    )
    console.print(shown, height=height)
    return console.export_svg(title=title, code_format=_FORMAT, unique_id=name)
