"""`python -m benchmarks`: measures, and prints a table or JSON."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from benchmarks.processes import BenchmarkError
from benchmarks.report import all_met, as_json, show
from benchmarks.suite import FULL, QUICK, compare_all, measure_all

app = App(name="benchmarks", help="Measure the worker pool; takes about five minutes.")


@app.default
def main(
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
    quick: Annotated[bool, Parameter(negative="")] = False,
    against: str | None = None,
) -> int:
    """Measure everything on servers and workers of the run's own.

    Exits with 0 if all that is required is met, 1 if not, 2 if it couldn't be measured.

    Args:
        json: Print JSON instead of a table.
        quick: Do little of each, to see that it works; its figures are too rough to judge by, so
            it exits with 0 whatever they are.
        against: Compare with this git revision instead: throughput and idle latency, in turn.
    """
    try:
        sizes = QUICK if quick else FULL
        figures = measure_all(sizes) if against is None else compare_all(against, sizes)
    except BenchmarkError as error:
        print(f"The benchmark can't go on: {error}", file=sys.stderr)
        return 2
    if json:
        print(as_json(figures, quick=quick))
    else:
        show(figures, quick=quick)
    return 0 if quick or all_met(figures) else 1


if __name__ == "__main__":
    sys.exit(app())
