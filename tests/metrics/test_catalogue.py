import re
from pathlib import Path

import pytest

from runtime.metrics import catalogue
from runtime.metrics.catalogue import Metric

ROOT = Path(__file__).parents[2]
EVERY = (*catalogue.WORKER, *catalogue.FLEET)
DEPLOYED = ("deploy/grafana/dashboards/brain.json", "deploy/prometheus/rules.yml")


def test_the_documents_list_every_metric() -> None:
    """The tables of docs/operations.md have each metric's name, type and labels."""
    rows = re.findall(
        r"^\| `(brain_\w+)` \| (\w+) \| ([^|]*)\| [^|]+ \|$",
        (ROOT / "docs/operations.md").read_text(),
        re.MULTILINE,
    )
    listed = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert listed == [(metric.name, metric.kind, metric.labels) for metric in EVERY]


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: Metric) -> None:
    """Counters, and they alone, end in `_total`; what is a time says its unit, seconds."""
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    timed = re.search("age|duration|time|lag|margin|oldest", metric.name)
    assert bool(timed) == metric.name.endswith("_seconds")


@pytest.mark.parametrize("path", DEPLOYED)
def test_what_is_deployed_asks_for_metrics_that_exist(path: str) -> None:
    """Each metric in the dashboard's queries and in the alert rules is one that is exposed."""
    parts = ("_bucket", "_sum", "_count")
    known = {metric.name for metric in EVERY if metric.kind != "histogram"}
    known |= {m.name + part for m in EVERY if m.kind == "histogram" for part in parts}
    asked = set(
        re.findall(r"\bbrain_(?:worker|queue|redis|exporter)_\w+", (ROOT / path).read_text())
    )
    assert asked
    assert asked <= known
