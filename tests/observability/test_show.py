import json
import re
import subprocess

import pytest

from tests.observability.conftest import Show
from tests.observability.prometheus import ROOT, RULES

pytestmark = pytest.mark.observability

ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
TARGETS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in json.loads((ROOT / "deploy/grafana/dashboards/brain.json").read_text())["panels"]
    for target in panel.get("targets", ())
]


def test_a_healthy_pool_raises_no_alert(show: Show) -> None:
    """Under load, before there is any trouble, nothing fires, for longer than any alert waits."""
    assert show.calm == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_each_trouble_raises_its_alert(show: Show, alert: str) -> None:
    """Each alert wasn't firing before its trouble was made, and fires after it."""
    assert alert not in show.before[alert]
    assert alert in show.fired[alert]


@pytest.mark.parametrize("expr", TARGETS)
def test_every_query_of_the_dashboard_returns_data(show: Show, expr: str) -> None:
    """Each query of each panel has figures of the show."""
    assert show.prometheus.series(expr, show.begin, show.end) > 0


def test_promtool_accepts_what_is_shown(show: Show) -> None:
    """Prometheus' own linter finds nothing wrong with names, units and help texts."""
    for text in show.texts:
        checked = subprocess.run(
            ["promtool", "check", "metrics"],  # noqa: S607 - the one on the path
            input=text,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr
