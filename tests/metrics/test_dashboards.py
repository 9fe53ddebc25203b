import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dashboard() -> ModuleType:
    """The script that makes the dashboard."""
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "deploy/grafana/dashboard.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_dashboard_is_current(dashboard: ModuleType) -> None:
    """The JSON that Grafana is given is what `make dashboards` makes."""
    assert dashboard.PLACE.read_text() == dashboard.build()


def test_every_panel_can_be_read(dashboard: ModuleType) -> None:
    """Each panel has a title, a unit, a tooltip and a query, and lies on the grid by itself."""
    panels = [one for one in json.loads(dashboard.build())["panels"] if one["type"] != "row"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["expr"] for target in panel["targets"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
