"""What a process takes of its machine, on the real `/proc` and on ones made up."""

import resource
from pathlib import Path

import pytest

from runtime.process_meter import ProcessMeter


def proc(directory: Path, **files: str) -> Path:
    """Make a `/proc` for a process with 1,000 pages, on a machine of 1 GiB."""
    contents = {
        "meminfo": "MemTotal:        1048576 kB\nMemFree: 1 kB\n",
        "self/statm": "5000 1000 3 4 5 6 7\n",
        "self/stat": f"1 (a b) c) S {' '.join(['0'] * 18)} 0 0\n",
        "self/cgroup": "0::/\n",
    } | files
    for name, text in contents.items():
        file = directory / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory / "proc"


def share(directory: Path, **files: str) -> float | None:
    meter = ProcessMeter(proc(directory, **files), directory / "groups")
    return meter.usage().memory_percent


def limit(directory: Path, name: str, text: str) -> None:
    file = directory / "groups" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_this_process_is_measured() -> None:
    """On a real system all figures are there: what is resident is below what ever was."""
    usage = ProcessMeter().usage()
    assert usage.cpu_percent is not None
    assert usage.memory_bytes is not None
    assert usage.memory_percent is not None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 2**20 < usage.memory_bytes <= most + 2**20
    assert 0 < usage.memory_percent < 100


def test_work_shows() -> None:
    """A process that computes all the time uses about as much as there is of a processor."""
    meter = ProcessMeter()
    meter.usage()
    while not (usage := meter.usage()).cpu_percent:
        sum(range(10_000))
    assert usage.cpu_percent > 0


@pytest.mark.parametrize(
    ("name", "text", "percent"),
    [
        ("memory.max", "max\n", 0.38),
        ("memory.max", f"{2**22}\n", 97.66),
        ("memory.max", f"{2**40}\n", 0.38),
        ("a/b/memory.max", f"{2**22}\n", 97.66),
        ("a/memory.max", f"{2**22}\n", 97.66),
        ("a/other/memory.max", f"{2**22}\n", 0.38),
    ],
)
def test_the_least_limit_counts(tmp_path: Path, name: str, text: str, percent: float) -> None:
    """Of the machine's memory and the limits of all control groups above, the least counts."""
    limit(tmp_path, name, text)
    assert share(tmp_path, **{"self/cgroup": "0::/a/b\n"}) == percent


def test_the_first_version_of_control_groups_counts_too(tmp_path: Path) -> None:
    """Older systems tell the limit elsewhere."""
    limit(tmp_path, "memory/docker/x/memory.limit_in_bytes", f"{2**22}\n")
    lines = "12:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n"
    assert share(tmp_path, **{"self/cgroup": lines}) == 97.66


def test_what_cannot_be_measured_is_none(tmp_path: Path) -> None:
    """Where the kernel tells nothing, nothing is made up."""
    usage = ProcessMeter(tmp_path, tmp_path).usage()
    assert (usage.cpu_percent, usage.memory_bytes, usage.memory_percent) == (None, None, None)
