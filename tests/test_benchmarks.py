"""The benchmark measures and says all that it should; how fast anything is isn't tested."""

import json
import subprocess
import sys
from math import isfinite
from pathlib import Path

import pytest

from benchmarks.drain import Drained, Sample
from benchmarks.figures import Bound, Figure, ratios
from benchmarks.report import all_met, as_json, show
from benchmarks.tasks import body
from messages import decode_task

ROOT = Path(__file__).parent.parent

BOUNDS = {
    "throughput.2.ratio": (0.2, None),
    "throughput.100.ratio": (0.3, None),
    "metrics.ratio": (0.97, None),
    "latency.p50.ratio": (None, 2.0),
    "recovery": (None, 5.0),
    "backlog.ratio": (0.9, None),
    "backlog.memory.ratio": (None, 1.1),
}
TOLD = {
    "throughput.bare",
    *(f"throughput.{slots}" for slots in (1, 2, 10, 100)),
    *(f"throughput.{slots}.ratio" for slots in (1, 10)),
    "metrics.on",
    *(f"latency.{name}" for name in ("p50.floor", "p50", "p95.floor", "p95", "p95.ratio")),
    *(f"backlog.{name}" for name in ("short", "long", "memory.early", "memory.peak")),
    *(f"footprint.{name}" for name in ("memory", "start", "import")),
}


def test_a_quick_run_measures_every_figure() -> None:
    """`--quick --json` prints every figure with its bound, and nothing but JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = json.loads(done.stdout)
    assert printed["quick"] is True
    figures = {figure["name"]: figure for figure in printed["figures"]}
    assert figures.keys() == BOUNDS.keys() | TOLD
    for name, figure in figures.items():
        assert (figure["at_least"], figure["at_most"]) == BOUNDS.get(name, (None, None))
        assert (figure["met"] is None) == (name in TOLD)
        assert isfinite(figure["max"])
        assert 0 < figure["min"] <= figure["median"] <= figure["max"]


def test_unknown_option() -> None:
    """Wrong use ends with a sentence and measures nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--fast"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "--fast" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("bound", "values", "met"),
    [
        (None, [1.0], None),
        (Bound(at_least=0.3), [0.1, 0.3, 0.9], True),
        (Bound(at_least=0.3), [0.1, 0.29, 0.9], False),
        (Bound(at_most=5.0), [4.0, 5.0, 9.0], True),
        (Bound(at_most=5.0), [4.0, 5.1, 9.0], False),
    ],
)
def test_a_bound_is_kept_by_the_median(
    *, bound: Bound | None, values: list[float], met: bool | None
) -> None:
    """It is the median that is judged, single slow or lucky runs aren't."""
    figure = Figure("name", "title", "", values, bound)
    assert figure.met is met
    assert figure.plain()["met"] is met
    assert all_met([figure]) is (met is not False)


def test_ratios_pair_what_was_measured_side_by_side() -> None:
    """Each value is divided by that of its own round."""
    assert ratios([1.0, 9.0], [2.0, 3.0]) == (0.5, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_a_rate_counts_from_the_first_look_that_saw_answers() -> None:
    """What was answered before the first look counts neither as work nor as time."""
    drained = Drained((Sample(10.0, 900), Sample(11.0, 400), Sample(12.0, 0)))
    assert drained.rate == 450


def test_tasks_are_those_of_a_producer() -> None:
    """What the benchmark pushes is what any producer writes."""
    task = decode_task(body("bench.noop", {"number": 1}))
    assert task.type == "bench.noop"
    assert bytes(task.payload) == b'{"number":1}'


def test_the_table_names_each_figure_and_whether_it_is_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """People see the required and the measured side by side, and where it isn't kept."""
    figures = [
        Figure("one", "First", "ms", [1.0, 2.0, 3.0]),
        Figure("two", "Second", "", [0.25], Bound(at_least=0.3)),
    ]
    show(figures, quick=True)
    printed = capsys.readouterr().out
    for words in ("First, ms", "2.00", "Second", "0.25", "≥ 0.3", "missed", "quick run"):
        assert words in printed
    assert json.loads(as_json(figures, quick=False))["met"] is False
