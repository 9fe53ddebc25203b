"""How many tasks come and go: by heartbeats, and by what two looks find."""

from typing import Any

import pytest

from runtime.cli.rates import Backlogs, answered_rate


def beat(tasks: int | None, lived: str = "10:05:00", **more: Any) -> dict[str, Any]:
    minute = {} if tasks is None else {"a": {"tasks": tasks}}
    times = {"started_at": "2026-01-01T10:00:00Z", "timestamp": f"2026-01-01T{lived}Z"}
    return {"queues": ["a"], "last_minute": minute, **times, **more}


def test_what_goes_out_is_the_last_minute_of_all_workers() -> None:
    """Workers' rates are added; one that has lived for less than a minute counts by its life."""
    assert answered_rate("a", [beat(60)]) == 1.0
    assert answered_rate("a", [beat(60), beat(30, lived="10:00:10")]) == 4.0
    assert answered_rate("a", [beat(None)]) == 0.0


@pytest.mark.parametrize(
    "beats",
    [
        [],
        [beat(60, queues=["b"])],
        [beat(60, last_minute=None)],
        [beat(60, last_minute={"a": {"tasks": "many"}})],
        [beat(60, started_at="yesterday")],
        [beat(60, started_at="2026-01-01T10:00:00")],
        [beat(0, lived="10:00:00")],
    ],
)
def test_what_nobody_tells_is_unknown(beats: list[dict[str, Any]]) -> None:
    """Without a worker that serves the queue and tells a figure there is no rate, not zero."""
    assert answered_rate("a", beats) is None


def test_a_backlog_grows_between_looks() -> None:
    """Growth is told from ten seconds on, over a minute at most, of queues that were there."""
    backlogs = Backlogs()
    assert backlogs.growth(0.0, {"a": 10}) == {}
    assert backlogs.growth(9.0, {"a": 20}) == {}
    assert backlogs.growth(10.0, {"a": 30, "new": 5}) == {"a": 2.0}
    assert backlogs.growth(70.0, {"a": 30, "new": 5}) == {"a": 0.0, "new": 0.0}
