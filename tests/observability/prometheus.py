"""A real Prometheus with the project's own rules, in a hurry."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from tests.metrics.scrapes import fetch
from tests.polling import eventually
from tests.servers import SERVERS, free_port

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
RATE = "10s"
"""Stands for Grafana's `$__rate_interval` where the scrapes are two seconds apart."""


def hurried(rules: str) -> str:
    """Return the rules with seconds for minutes: what is watched doesn't change, how long does."""
    return re.sub(r"\[10m\]", "[20s]", re.sub(r"for: \d+m", "for: 5s", rules))


@frozen
class Prometheus:
    """One that runs.

    Attributes:
        url: where it answers.
    """

    url: str

    def ask(self, path: str, **words: str) -> Any:
        return json.loads(fetch(f"{self.url}/api/v1/{path}?{urlencode(words)}"))["data"]

    def alerts(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def series(self, expr: str, begin: float, end: float) -> int:
        """Return how many series have had a figure meanwhile."""
        asked = expr.replace("$__rate_interval", RATE)
        found = self.ask("query_range", query=asked, start=str(begin), end=str(end), step="1")
        return sum(any(v != "NaN" for _, v in one["values"]) for one in found["result"])

    def healthy(self) -> Mapping[str, Sequence[str]]:
        """Return the state of the targets, by job."""
        states: dict[str, list[str]] = {}
        for target in self.ask("targets")["activeTargets"]:
            states.setdefault(target["labels"]["job"], []).append(target["health"])
        return states


@contextmanager
def prometheus(directory: Path, jobs: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """Run one that scrapes the targets of some jobs every two seconds."""
    (directory / "rules.yml").write_text(hurried(RULES.read_text()))
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": list(targets)}]}
        for job, targets in jobs.items()
    ]
    every = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config = {"global": every, "rule_files": ["rules.yml"], "scrape_configs": scrapes}
    # JSON is YAML.
    (directory / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    program = shutil.which("prometheus")
    assert program is not None, "`make observability-test` installs Prometheus"
    with (directory / "prometheus-log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    SERVERS.add(process.pid)
    found = Prometheus(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _answers(found), what="Prometheus answers")
        yield found
    finally:
        process.kill()
        process.wait()
        SERVERS.discard(process.pid)


def _answers(found: Prometheus) -> bool:
    try:
        return bool(fetch(f"{found.url}/-/ready"))
    except OSError:
        return False
