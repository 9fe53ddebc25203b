"""The figures for people and for programs."""

import json
import os
import platform
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure


def as_json(figures: Sequence[Figure], *, quick: bool) -> str:
    """Return all as one JSON object."""
    return json.dumps(
        {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "quick": quick,
            "met": all_met(figures),
            "figures": [figure.plain() for figure in figures],
        },
        indent=2,
    )


def all_met(figures: Sequence[Figure]) -> bool:
    """Say whether every bound is kept."""
    return all(figure.met is not False for figure in figures)


def show(figures: Sequence[Figure], *, quick: bool) -> None:
    """Print the table."""
    table = Table(title="Worker pool, measured in one run", title_justify="left")
    table.add_column("figure")
    for name in ("min", "median", "max", "required"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for figure in figures:
        values = (min(figure.values), figure.median, max(figure.values))
        unit = f", {figure.unit}" if figure.unit else ""
        table.add_row(
            f"{figure.title}{unit}",
            *(_shown(value) for value in values),
            str(figure.bound or ""),
            {None: "", True: "[green]met", False: "[red]missed"}[figure.met],
        )
    console = Console()
    console.print(table)
    if quick:
        console.print("A quick run: too short to judge by.")


def _shown(value: float) -> str:
    """Write three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
