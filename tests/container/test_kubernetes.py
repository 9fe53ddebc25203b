"""The manifests fit the official schemas, and contain the worker as they say."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from runtime.cli.options import VARIABLES, WorkerOptions
from tests.container import compose, dockerfile
from tests.container.compose import ROOT

FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
# KEDA's objects are for clusters that have it; tests/deploy looks at them.
OBJECTS = sorted(
    path
    for path in FOLDER.glob("*.yaml")
    if path.stem != "kustomization" and not path.stem.startswith("keda-")
)


def read(path: Path) -> dict[str, Any]:
    """Return a file's one object."""
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def pod() -> dict[str, Any]:
    """The worker's pod."""
    found = read(FOLDER / "deployment.yaml")["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod's only container."""
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas(path: Path, version: str) -> None:
    """Each object is one that Kubernetes knows, with no field that it doesn't."""
    kubernetes_validate.validate(read(path), version, strict=True)


def test_all_manifests_are_applied() -> None:
    """The kustomization names each manifest of the folder."""
    named = read(FOLDER / "kustomization.yaml")["resources"]
    assert sorted(named) == [path.name for path in OBJECTS]


def test_the_worker_is_contained(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The pod runs as UID 1000 with a read-only root, and has nothing that it could misuse."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert user == dockerfile.one("USER") == "1000:1000"
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        assert shared not in pod
    assert all("emptyDir" in volume for volume in pod["volumes"])


def test_the_grace_is_shorter_than_the_pods(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The pod is given longer than a worker takes at most: its grace and 10 s."""
    grace = compose.seconds(container["args"][container["args"].index("--grace") + 1])
    assert grace == WorkerOptions().grace
    assert pod["terminationGracePeriodSeconds"] > grace + 10


def test_probes_are_the_images_own(container: dict[str, Any]) -> None:
    """Each probe runs the image's health check, and waits as long for it."""
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == dockerfile.health_check()
        assert container[probe]["timeoutSeconds"] == 10


def test_the_worker_is_told_what_it_reads(container: dict[str, Any]) -> None:
    """Settings, secrets and the pod's own variables are those that the code reads."""
    settings = read(FOLDER / "configmap.yaml")["data"]
    own = {variable["name"] for variable in container["env"]}
    secret = {"REDIS_URL", "DATABASE_URL"}
    # Who wants metrics of pods lets Prometheus through the policy, too.
    metrics = {"METRICS_PORT", "METRICS_HOST"}
    assert set(settings) | own | secret == set(VARIABLES) - metrics
    readme = (FOLDER / "README.md").read_text()
    assert all(f"--from-literal={name}=" in readme for name in secret)


def test_policy_and_budget_are_for_the_worker() -> None:
    """Network policy and budget select the deployment's pods, and let nobody in."""
    labels = read(FOLDER / "deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    policy = read(FOLDER / "networkpolicy.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == []
    budget = read(FOLDER / "poddisruptionbudget.yaml")["spec"]
    assert budget["selector"]["matchLabels"] == labels
