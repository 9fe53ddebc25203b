"""Tells whether this machine's workers are alive; light enough to run every few seconds."""

import os
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from runtime import state_file
from runtime.cli.options import StateDir
from runtime.errors import ConfigurationError
from runtime.state_file import Note

_ALIVE: Final = 0
_ILL: Final = 1
_PATIENCE: Final = 5.0
"""Seconds by which a note may be late on a machine that is busy."""


def health(
    *,
    worker_id: Annotated[str | None, Parameter(env_var="WORKER_ID", metavar="NAME")] = None,
    state_dir: StateDir = None,
) -> int:
    """Tell whether the workers of this machine and user are alive: 0 if all are, 1 if not.

    A worker is alive as long as its process lives and its event loop turns now and then. One that
    waits for a server, or runs a long task, isn't ill; one whose event loop has been stuck for
    longer than its --stall-limit is.

    Args:
        worker_id: Look only at the worker of that name.
        state_dir: Where workers note that they are alive. [default: $XDG_RUNTIME_DIR, else the
            directory for temporary files]
    """
    directory = state_file.place(state_dir, os.environ)
    try:
        found = state_file.notes(directory)
    except OSError as error:
        came = f"{str(directory)!r} ({error.strerror or error})"
        raise ConfigurationError("--state-dir", came, "a directory that can be read") from None
    code, sentence = judge(found, state_file.now(), worker_id, directory)
    print(sentence)  # noqa: T201 - it is the command line's
    return code


def judge(found: list[Note], now: float, worker_id: str | None, directory: Path) -> tuple[int, str]:
    """Return the exit code and the sentence for what was found.

    Args:
        found: the notes of processes that live.
        now: seconds since the machine's start.
        worker_id: the only worker that counts, if one was named.
        directory: where was looked.
    """
    chosen = [note for note in found if worker_id is None or note.worker_id == worker_id]
    if not chosen:
        who = "No worker" if worker_id is None else f"No worker named {worker_id}"
        return _ILL, f"{who} runs on this machine, by the notes in {directory}"
    for note in chosen:
        silent = now - note.written_at
        if silent > note.stall_limit + _PATIENCE:
            return _ILL, (
                f"Worker {note.worker_id} (process {note.pid}) is stuck: its event loop hasn't "
                f"turned for {silent:.0f} s"
            )
    names = ", ".join(note.worker_id for note in chosen)
    return _ALIVE, f"Alive: {names}"
