"""The formula of the health score: a plain function, no server."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from runtime.brain.health import assess
from runtime.brain.pool_figures import Backlog
from runtime.brain.probes import Probe, Probes
from runtime.brain.tables import Cluster, ClusterAgent
from tests.brain.conftest import STORED_NOW

WELL = Probes(database=Probe(latency_ms=0.2), redis=Probe(latency_ms=0.1))


def cluster(**values: Any) -> Cluster:
    row = {"status": "active", "min_workers": 1, "max_workers": 2, "current_workers": 1}
    return Cluster(id="c", **row | values)


def agent(name: str = "w", role: str = "worker", **values: Any) -> ClusterAgent:
    row = {"status": "active", "supervisor_id": "boss", "last_active": STORED_NOW}
    figures = {"tasks_completed": 0, "tasks_failed": 0, "spawned_at": STORED_NOW}
    return ClusterAgent(id=name, agent_id=name, role=role, **row | figures | values)


BOSS = agent("boss", "supervisor", supervisor_id=None)


def ago(**span: float) -> Any:
    return STORED_NOW - timedelta(**span)


@pytest.mark.parametrize(
    ("of", "agents", "score", "finding"),
    [
        (cluster(), [BOSS, agent()], 1.0, None),
        (cluster(), [BOSS, agent(), agent("x", status="stopped")], 1.0, None),
        (
            cluster(),
            [BOSS, agent(), agent("x", status="failed", last_error="out of memory.")],
            0.667,
            "Agent x has failed: out of memory.",
        ),
        (
            cluster(),
            [BOSS, agent(status="busy", last_active=ago(minutes=16))],
            0.75,
            "Agent w is busy, but silent for 16 min.",
        ),
        (cluster(), [BOSS, agent(status="busy", last_active=ago(minutes=15))], 1.0, None),
        (
            cluster(),
            [BOSS, agent(last_active=None, spawned_at=ago(hours=25))],
            0.75,
            "Agent w is active, but silent for 1500 min.",
        ),
        (cluster(), [BOSS, agent(status="idle", last_active=ago(days=30))], 1.0, None),
        (
            cluster(),
            [BOSS, agent(tasks_completed=2, tasks_failed=3)],
            0.75,
            "Agent w failed 3 of its 5 tasks.",
        ),
        (cluster(), [BOSS, agent(tasks_completed=0, tasks_failed=4)], 1.0, None),
        (
            cluster(),
            [agent("lead", "lead", supervisor_id="boss"), agent(supervisor_id="lead")],
            0.45,
            "The cluster has no living supervisor.",
        ),
        (
            cluster(min_workers=2),
            [BOSS, agent()],
            0.75,
            "The cluster has 1 workers, fewer than 2.",
        ),
        (
            cluster(max_workers=1, current_workers=2),
            [BOSS, agent(), agent("x")],
            0.9,
            "The cluster has 2 workers, more than 1.",
        ),
        (
            cluster(),
            [BOSS, agent(supervisor_id=None)],
            0.9,
            "These agents report to nobody who lives: w.",
        ),
        (cluster(current_workers=5), [BOSS, agent()], 1.0, "current_workers is 5, but 1 workers"),
        (cluster(current_workers=0), [], 0.0, "The cluster has no agents."),
        (cluster(status="planning", current_workers=0), [], 1.0, None),
        (cluster(status="hibernated", current_workers=0), [BOSS], 1.0, None),
    ],
)
def test_what_lowers_the_score_is_a_finding(
    of: Cluster, agents: list[ClusterAgent], score: float, finding: str | None
) -> None:
    """Each state of a cluster has its score by the formula and is told in words."""
    health = assess(of, agents, WELL, STORED_NOW)
    assert health.score == score
    assert bool(health.findings) is (finding is not None)
    assert finding is None or any(words.startswith(finding) for words in health.findings)


def test_a_silent_redis_halves_the_score() -> None:
    """What the probe of Redis found is a finding too."""
    probes = Probes(database=Probe(latency_ms=0.2), redis=Probe(error="refused"))
    health = assess(cluster(), [BOSS, agent()], probes, STORED_NOW)
    assert (health.score, health.findings) == (0.5, ["Redis doesn't answer: refused."])


@pytest.mark.parametrize(
    ("found", "score", "finding"),
    [
        ({"ollama": Probe(latency_ms=1.0), "qdrant": Probe(latency_ms=1.0)}, 1.0, None),
        ({"ollama": Probe(error="it has no model")}, 0.8, "Ollama isn't ready: it has no model."),
        ({"qdrant": Probe(error="refused")}, 0.9, "Qdrant doesn't answer: refused."),
        ({"backlogs": (Backlog("q", 4, 300.0), Backlog("r", 0, None))}, 1.0, None),
        (
            {"backlogs": (Backlog("q", 4, 361.0),)},
            0.9,
            "The next task of q has waited 6 min; 4 wait there.",
        ),
        (
            {"backlogs": (Backlog("q", 1, 301.0), Backlog("r", 1, 301.0))},
            0.81,
            "The next task of q",
        ),
    ],
)
def test_services_and_queues_count_too(
    found: dict[str, Any], score: float, finding: str | None
) -> None:
    """Servers that are configured and don't answer, and queues that stand still, have a price."""
    health = assess(cluster(), [BOSS, agent()], evolve(WELL, **found), STORED_NOW)
    assert health.score == score
    assert bool(health.findings) is (finding is not None)
    assert finding is None or health.findings[0].startswith(finding)
