"""Scrapes an endpoint as Prometheus does, and starts what is scraped."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen as open_url

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.commands import Worker, environment
from tests.polling import eventually

Labels = frozenset[tuple[str, str]]


class Scrape(dict[tuple[str, Labels], float]):
    """What one scrape has shown: (sample's name, its labels) → value."""

    def get_one(self, name: str, **labels: str) -> float | None:
        """Return a sample's value; None if it isn't there."""
        return self.get((name, frozenset(labels.items())))

    def names(self) -> set[str]:
        return {name for name, _ in self}

    def labels(self, name: str) -> list[Mapping[str, str]]:
        """Return the labels of all samples of a name."""
        return [dict(labels) for found, labels in self if found == name]


def fetch(url: str) -> str:
    """Return what an endpoint shows, as it stands there."""
    with open_url(url, timeout=30) as response:  # noqa: S310 - one of our own endpoints
        return str(response.read().decode())


def scrape(url: str) -> Scrape:
    """Read what an endpoint shows."""
    found = Scrape()
    for family in text_string_to_metric_families(fetch(url)):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def where(worker: Worker) -> str:
    """Return the URL of a worker's metrics, from its log."""
    worker.says("Metrics are at")
    return re.search(r"http://\S+", worker.log())[0]


@contextmanager
def exporter(directory: Path, *arguments: str, **variables: str) -> Iterator[str]:
    """Run an exporter on a free port, and give its URL; it must end cleanly."""
    log = directory / "exporter-log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime", "exporter", "--port", "0", *arguments],
            cwd=directory,
            env=environment(directory, **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: "Metrics of the queues" in log.read_text() or process.poll() is not None)
        yield re.search(r"http://\S+", log.read_text())[0]
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()
