"""How `health` finds this machine's workers: each notes every second that its event loop turns.

One file a process, `<directory>/<pid>.json`, in a directory that is its user's alone. A file
counts only while a process of that number *and* start time lives, so a stale one has no effect.

| if this dies here | then |
|---|---|
| the worker | its file names no living process: not alive; the next worker removes the file |
| the worker while it writes | the old file stays whole: a new one takes its place in one step |

Imports nothing heavy: the health check of a container runs every few seconds.
"""

import json
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from runtime.errors import ConfigurationError

VARIABLE: Final = "BRAIN_STATE_DIR"

_NAME: Final = "brain-worker"
_START_TIME: Final = 19
"""Where a process's start time stands in `/proc/<pid>/stat`, behind its name in parentheses."""


@frozen
class Note:
    """What a worker notes.

    Attributes:
        worker_id: its name.
        pid: its process.
        started: the process's start time, in ticks since the machine's.
        written_at: seconds since the machine's start, suspension included.
        stall_limit: seconds without a note after which it counts as stuck.
    """

    worker_id: str
    pid: int
    started: int
    written_at: float
    stall_limit: float


def now() -> float:
    """Return the seconds since the machine's start; all of its processes agree on them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def started(pid: int) -> int | None:
    """Return the start time of a process in ticks, None if there is none or it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name may hold anything, parentheses too.
    fields = status.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[_START_TIME])


def place(chosen: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the directory of the notes.

    Args:
        chosen: by the user, if at all.
        environment: for XDG_RUNTIME_DIR.
    """
    if chosen is not None:
        return chosen
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / _NAME
    return Path(tempfile.gettempdir()) / f"{_NAME}-{os.geteuid()}"


class StateFile:
    """This process's file.

    Args:
        directory: where the notes lie; made if missing.
        worker_id: whose it is.
        stall_limit: seconds without a note after which the worker counts as stuck.

    Raises:
        ConfigurationError: the directory can't be used.
    """

    def __init__(self, directory: Path, worker_id: str, stall_limit: float) -> None:
        self._directory = directory
        self._path = directory / f"{os.getpid()}.json"
        self._worker_id = worker_id
        self._started = started(os.getpid()) or 0
        self._stall_limit = stall_limit
        try:
            _make_private(directory)
            _sweep(directory)
            self.write()
        except OSError as error:
            raise ConfigurationError(
                "--state-dir",
                f"{str(directory)!r} ({error.strerror or error})",
                "a directory of your own that can be written",
            ) from None

    def __repr__(self) -> str:
        return f"StateFile({self._path})"

    def write(self) -> None:
        """Note that the worker lives.

        Raises:
            OSError: it can't be written.
        """
        note = Note(self._worker_id, os.getpid(), self._started, now(), self._stall_limit)
        aside = self._path.with_suffix(".new")
        aside.write_text(json.dumps(asdict(note)))
        aside.replace(self._path)

    def remove(self) -> None:
        """Remove the file; never fails."""
        _remove(self._path.with_suffix(".new"))
        _remove(self._path)


def notes(directory: Path) -> list[Note]:
    """Return the notes of the workers whose process lives, by name.

    Raises:
        OSError: the directory is there and can't be read.
    """
    found = [_read(path) for path in _files(directory)]
    living = [note for note in found if note is not None and _lives(note)]
    return sorted(living, key=lambda note: note.worker_id)


def _lives(note: Note) -> bool:
    return note.started == started(note.pid)


def _files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.suffix == ".json"]
    except FileNotFoundError:
        return []


def _read(path: Path) -> Note | None:
    """Read a note; None if it was removed meanwhile or is none of ours."""
    try:
        found: Any = json.loads(path.read_bytes())
        return Note(
            worker_id=str(found["worker_id"]),
            pid=int(found["pid"]),
            started=int(found["started"]),
            written_at=float(found["written_at"]),
            stall_limit=float(found["stall_limit"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sweep(directory: Path) -> None:
    """Remove what dead workers have left."""
    for path in _files(directory):
        note = _read(path)
        if note is None or not _lives(note):
            _remove(path.with_suffix(".new"))
            _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _make_private(directory: Path) -> None:
    """Make the directory, or check that nobody else can write notes into an existing one."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "it is somebody else's, or others can write to it")
