"""Measures what this process takes of its machine, from `/proc` and its control group.

| figure | source |
|---|---|
| processor time | `time.process_time`: all threads, user and system, without child processes |
| resident memory | `/proc/self/statm` |
| what memory there is | the least of `MemTotal` and the limits of the control groups above us |
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from actors import Usage

PROC: Final = Path("/proc")
GROUPS: Final = Path("/sys/fs/cgroup")

_LEAST_WINDOW: Final = 0.05
"""Seconds; over less than that the kernel's clock ticks say nothing."""


class ProcessMeter:
    """Measures this process; each measurement begins where the one before has ended.

    Args:
        proc: where the kernel tells of processes.
        groups: where it tells of control groups.
    """

    def __init__(self, proc: Path = PROC, groups: Path = GROUPS) -> None:
        self._proc = proc
        self._groups = groups
        self._limit: int | None = None
        self._last = (_began(proc), 0.0)

    def usage(self) -> Usage:
        """Return what was used since the last call, or since the process began."""
        memory = self._memory()
        limit = self._memory_limit()
        share = None if memory is None or limit is None else round(memory / limit * 100, 2)
        return Usage(self._cpu(), memory, share)

    def _cpu(self) -> float | None:
        now, used = time.clock_gettime(time.CLOCK_BOOTTIME), time.process_time()
        since, before = self._last
        if since is None or now - since < _LEAST_WINDOW:
            return None
        self._last = (now, used)
        return round((used - before) / (now - since) * 100, 2)

    def _memory(self) -> int | None:
        try:
            pages = int((self._proc / "self" / "statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _memory_limit(self) -> int | None:
        if self._limit is None:
            self._limit = min(_limits(self._proc, self._groups), default=None)
        return self._limit


def _began(proc: Path) -> float | None:
    """Return when this process began, in seconds of the clock that counts suspension."""
    try:
        # The name in parentheses may hold anything; what follows it doesn't.
        fields = (proc / "self" / "stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _limits(proc: Path, groups: Path) -> Iterator[int]:
    """Yield each limit of this process's memory, in bytes."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("MemTotal:"):
            yield int(line.split()[1]) * 1024
    for file in _limit_files(proc, groups):
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        # "max" is no limit, and neither is the huge number that stands for none in version 1.
        if text.isdigit() and int(text) > 0:
            yield int(text)


def _limit_files(proc: Path, groups: Path) -> Iterator[Path]:
    """Yield the files that may hold a limit: of our control group, and of all above it."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        place = Path(path.lstrip("/"))
        # Within a container the path may be the host's, of which only the root is seen.
        for part in (place, *place.parents):
            yield root / part / name
