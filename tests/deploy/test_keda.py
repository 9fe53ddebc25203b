import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from runtime.pool.decision import Goal, Load, decide
from runtime.redis import keys
from tests.deploy.keda_schema import SCHEMA

_FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
_MANIFESTS = sorted(_FOLDER.glob("keda-*.yaml"))
_KUBERNETES = "1.31"


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def _scaled(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = next(
        body["spec"] for body in _documents(path) if body["kind"] == "ScaledObject"
    )
    return found


@pytest.mark.parametrize("path", _MANIFESTS, ids=lambda path: path.name)
def test_manifests_have_kedas_form(path: Path) -> None:
    """Each resource has the keys and kinds of value that KEDA documents, and no others."""
    for body in _documents(path):
        jsonschema.validate(body, SCHEMA)


@pytest.mark.parametrize("path", _MANIFESTS, ids=lambda path: path.name)
def test_what_keda_makes_of_them_is_valid(path: Path) -> None:
    """The HorizontalPodAutoscaler that KEDA makes of it passes Kubernetes' own schema."""
    spec = _scaled(path)
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **_target(spec)},
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }
    kubernetes_validate.validate(scaler, _KUBERNETES, strict=True)


def _target(spec: dict[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = spec["scaleTargetRef"]
    return target


@pytest.mark.parametrize("path", _MANIFESTS, ids=lambda path: path.name)
def test_a_pod_remains_and_the_others_go_one_by_one(path: Path) -> None:
    """Both keep one pod of the workers' Deployment, and retire one at a time after a calm."""
    spec = _scaled(path)
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert spec["scaleTargetRef"]["name"] == "brain-worker"
    assert spec["minReplicaCount"] == 1
    assert down["stabilizationWindowSeconds"] >= 60
    assert [policy["value"] for policy in down["policies"]] == [1]
    assert all(trigger["metricType"] == "AverageValue" for trigger in spec["triggers"])


def test_the_lists_are_the_queues() -> None:
    """The list scaler looks at the contract's two queues."""
    triggers = _scaled(_FOLDER / "keda-list.yaml")["triggers"]
    lists = [trigger["metadata"]["listName"] for trigger in triggers]
    assert lists == [keys.CLUSTER_QUEUE, keys.MISSION_QUEUE]


def _reckoned(figures: dict[str, float]) -> float:
    """Reckon the query as Prometheus would, with one queue that isn't paused."""
    (trigger,) = _scaled(_FOLDER / "keda-wait.yaml")["triggers"]
    text = re.sub(r"\s+", " ", trigger["metadata"]["query"])
    text = re.sub(r"rate\((\w+)\[5m\]\)", r"\1", text)
    text = re.sub(r" unless \(brain_queue_paused == 1\)| or vector\(\d\)| > 0", "", text)
    text = re.sub(r"\b(sum|max)\(", "(", text).replace("clamp_max(", "min(")
    value = eval(text.replace("> bool", ">"), {}, {**figures, "min": min})  # noqa: S307 - ours
    return float(value)


@pytest.mark.parametrize(
    ("busy", "waiting", "took", "oldest"),
    [(0, 0, 1.0, 0), (8, 0, 0.2, 0), (4, 100, 0.5, 3), (8, 40, 60.0, 4), (16, 9, 2.0, 5)],
)
def test_the_query_agrees_with_the_pool(busy: int, waiting: int, took: float, oldest: int) -> None:
    """The query of keda-wait.yaml asks for as many pods as the pool's own decision."""
    asked = _reckoned(
        {
            "brain_queue_in_flight_tasks": busy,
            "brain_queue_waiting_tasks": waiting,
            "brain_worker_task_duration_seconds_sum": took * 10,
            "brain_worker_task_duration_seconds_count": 10,
            "brain_queue_oldest_task_age_seconds": oldest,
        }
    )
    load = Load(arrival_rate=busy / took, service_time=took, backlog=waiting, oldest=oldest)
    assert max(1, -(-asked // 1)) == decide(load, 1, Goal(1, 1000, 5.0, 2)).workers
