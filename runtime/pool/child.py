"""The program of a pool's worker process: a worker that never outlives its supervisor.

The kernel kills it with the thread that started it, and a thread of its own ends it when the line
closes. The first holds when C code keeps the interpreter's lock, the second when that was undone.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from threading import Thread
from typing import Final

from loguru import logger

from runtime.cli.process import run_worker
from runtime.composition import Composed
from runtime.pool import line
from runtime.pool.window import Ended

_PR_SET_PDEATHSIG: Final = 1

_TELL_EVERY: Final = 0.5
"""Seconds between reports to the supervisor."""


def main() -> int:
    """Run a worker for the supervisor that started this process; return the exit code.

    The arguments are the number of the socket and the supervisor's process id.
    """
    number, supervisor = (int(argument) for argument in sys.argv[1:3])
    _die_with(supervisor)
    ours = socket.socket(fileno=number)
    # It must close with this process, whatever a handler leaves behind.
    ours.set_inheritable(False)
    options = line.read_options(_first_line(ours))
    Thread(target=_end_with, args=(ours,), name="line to the supervisor", daemon=True).start()
    code = run_worker(options, ToSupervisor(ours))
    # From here on a signal has nothing more to ask for, and must not change the exit code.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return code


def _die_with(supervisor: int) -> None:
    """Let the kernel kill this process when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A supervisor that died before that call sends no signal any more.
    if os.getppid() != supervisor:
        os._exit(1)


def _first_line(ours: socket.socket) -> bytes:
    with ours.makefile("rb", buffering=0) as file:
        return file.readline()


def _end_with(ours: socket.socket) -> None:
    """End this process when the supervisor's end of the line is closed."""
    with contextlib.suppress(OSError):
        while ours.recv(1024):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


class ToSupervisor:
    """Tells the supervisor how the worker gets on.

    Args:
        ours: the line.
    """

    def __init__(self, ours: socket.socket) -> None:
        self._line = ours

    def ready(self, composed: Composed) -> None:
        """Tell that the worker takes tasks, and from now on what it does."""
        facts = composed.facts
        logger.bind(worker_id=facts.worker_id).info("Worker {} takes tasks", facts.worker_id)
        self._tell(line.Ready(facts.queues))
        self._report(composed, asyncio.get_running_loop())

    def refused(self, sentence: str) -> None:
        """Tell why the worker can't start; the supervisor says it."""
        self._tell(line.Refused(sentence))

    def _report(self, composed: Composed, loop: asyncio.AbstractEventLoop) -> None:
        found = composed.worker.statistics()
        running = sum(task.seconds for task in found.running)
        self._tell(Ended(found.ended, found.busy_seconds + running))
        loop.call_later(_TELL_EVERY, self._report, composed, loop)

    def _tell(self, message: line.Told) -> None:
        # A supervisor that is suspended reads nothing; no worker waits for it.
        with contextlib.suppress(OSError):
            self._line.send(line.pack(message), socket.MSG_DONTWAIT)


if __name__ == "__main__":
    sys.exit(main())
