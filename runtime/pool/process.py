"""A worker's process as the supervisor sees it: started, heard, asked to end, killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import Final

from runtime.cli.options import WorkerOptions
from runtime.pool import line
from runtime.pool.window import Ended

_MOST: Final = 65_536
"""Bytes that are read at once."""


class WorkerProcess:
    """One worker in a process of its own. Nothing here waits.

    It is started in the calling thread, and the kernel ends it with that thread: the supervisor's
    must be its process's main one.

    Args:
        options: the worker's.
        seat: its number in the pool, from 1 on.
        now: seconds of any clock that only goes forward.

    Raises:
        OSError: the system has no process, memory or file left for it.
    """

    def __init__(self, options: WorkerOptions, seat: int, now: float) -> None:
        self.worker_id = options.worker_id or ""
        self.seat = seat
        self.ready: line.Ready | None = None
        self.ready_at = now
        self.refusal: str | None = None
        self.ended = Ended()
        self.retired = False
        self._rest = b""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._line = ours
            try:
                self._popen = subprocess.Popen(  # noqa: S603 - our own program
                    _command(theirs.fileno(), self.worker_id),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # A group of its own: Ctrl-C in a terminal is the supervisor's to decide about.
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        with contextlib.suppress(OSError):  # it has ended already, which its exit code tells
            ours.send(line.pack_options(options))

    def __repr__(self) -> str:
        state = "retired" if self.retired else "ready" if self.ready else "starting"
        return f"WorkerProcess({self.worker_id!r}, pid={self.pid}, {state})"

    @property
    def pid(self) -> int:
        """The process."""
        return self._popen.pid

    def poll(self, now: float) -> int | None:
        """Hear what it has told, and return its exit code if it has ended."""
        # First whether it has ended, so that its last words aren't missed.
        code = self._popen.poll()
        with contextlib.suppress(OSError):
            while received := self._line.recv(_MOST):
                *lines, self._rest = (self._rest + received).split(b"\n")
                for told in lines:
                    self._hear(line.read(told), now)
        if code is not None:
            self._line.close()
        return code

    def ask_to_end(self) -> None:
        """Let it drain; a second time hurries it."""
        self.retired = True
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word."""
        self.retired = True
        self._send(signal.SIGKILL)

    def close(self) -> None:
        """End it if it lives, and wait for that."""
        self.kill()
        self._popen.wait()
        self._line.close()

    def _send(self, sign: signal.Signals) -> None:
        self._popen.send_signal(sign)

    def _hear(self, told: line.Told, now: float) -> None:
        match told:
            case line.Ready():
                self.ready, self.ready_at = told, now
            case line.Refused():
                self.refusal = told.why
            case Ended():
                self.ended = told


def how_it_ended(code: int) -> str:
    """Say in words how a process has ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal without a name"
    return f"was ended by signal {-code} ({name})"


def _command(number: int, worker_id: str) -> list[str]:
    # The name is for people who look at the list of processes.
    program = [sys.executable, "-m", "runtime.pool.child"]
    return [*program, str(number), str(os.getpid()), worker_id]
