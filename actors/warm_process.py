"""One process that runs handlers, seen from the worker: started, asked, ended.

It is told apart from the handler that runs in it: a handler that raises leaves a process that can
be asked again; one whose call was cut short, or that died, can only be ended.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import anyio
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from actors.process_wire import HEADER, ToProcess, ToWorker, pack, read_answer

_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from actors.process_child import main; main()"
)
"""Python's `-m` would look for our own code on the path that a fresh interpreter has."""

_PATIENCE: Final = 1.0
"""Seconds that a process has from closing its line until it has ended by itself."""

_REAPING: Final = 5.0
"""Seconds that a killed process has; only one that hangs in the kernel needs longer."""


_LOOK: Final = 0.001
"""Seconds between looks at a process that is about to end."""


class ProcessEndedError(Exception):
    """The process has closed its line: it has ended, or is about to."""


class GarbledLineError(Exception):
    """Something in the process has written to the line what is no message; end the process."""


class WarmProcess:
    """A process that has imported what its handlers need, or will at its first call.

    Args:
        popen: the process.
        line: a socket to it.
    """

    def __init__(self, popen: subprocess.Popen[bytes], line: UNIXSocketStream) -> None:
        self._popen = popen
        self._line = line
        self._received = BufferedByteReceiveStream(line)
        self.calls = 0

    def __repr__(self) -> str:
        return f"WarmProcess({self._popen.pid})"

    @classmethod
    async def start(cls) -> "WarmProcess":
        """Start a process.

        A cancellation leaves none behind.

        Raises:
            OSError: the system has no process, memory or file left for it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            line = await UNIXSocketStream.from_socket(ours)
            try:
                # In the event loop's own thread, and not by `anyio.open_process`, which on trio
                # forks in a thread of a pool: the kernel ends the process with the thread that
                # forked it (see `process_child`), and such a thread ends when it is idle. A host
                # that runs its loop in a secondary thread loses its processes with that thread,
                # when it can no longer use them anyway.
                popen = subprocess.Popen(  # noqa: ASYNC220, S603 - a fork and an exec, no waiting
                    _command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # A group of its own: Ctrl-C in a terminal is the worker's to decide about, and
                    # what the handler has started is ended together with it.
                    process_group=0,
                )
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await line.aclose()
                raise
        return cls(popen, line)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._popen.returncode is None and not self._died()

    async def tell(self, message: ToProcess) -> None:
        """Send a message. A cancellation may leave half of it sent: end the process then.

        Raises:
            ProcessEndedError: there is nobody to read it.
        """
        try:
            await self._line.send(pack(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise ProcessEndedError from None

    async def hear(self) -> ToWorker:
        """Wait for a message. A cancellation may lose it: end the process then.

        Raises:
            ProcessEndedError: the process has ended.
            GarbledLineError: what came is no message.
        """
        try:
            (length,) = HEADER.unpack(await self._received.receive_exactly(HEADER.size))
            body = await self._received.receive_exactly(length)
        except (
            anyio.IncompleteRead,
            anyio.EndOfStream,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
        ):
            raise ProcessEndedError from None
        try:
            return read_answer(body)
        except ValueError as error:
            raise GarbledLineError(str(error)) from None

    async def end(self, *, kill: bool = True) -> str:
        """End the process and wait until it has ended; a second time does nothing.

        A cancellation is held back, for `_PATIENCE` and `_REAPING` at most.

        Args:
            kill: whether at once; otherwise it is given a moment to end by itself, so that it is
                seen how.

        Returns:
            How it ended, in words.
        """
        with anyio.CancelScope(shield=True):
            if not kill:
                await _wait(self._died, _PATIENCE)
            if self._popen.returncode is None:
                # Also when it has ended by itself, for what it may have left behind. Until it is
                # reaped, its number, which is its group's, isn't given to another process.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._popen.pid, signal.SIGKILL)
                await _wait(lambda: self._popen.poll() is not None, _REAPING)
            await self._line.aclose()
        return _in_words(self._popen.returncode)

    def _died(self) -> bool:
        """Say whether the process has ended, without reaping it."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._popen.pid, look) is not None
        except ChildProcessError:  # a host that ignores SIGCHLD
            return True


async def _wait(came_true: Callable[[], bool], within: float) -> None:
    """Look often: what is waited for comes in a moment, and few hosts let us wait for it."""
    with anyio.move_on_after(within):
        while not came_true():  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(_LOOK)


def _command(line: int) -> list[str]:
    if not sys.executable:
        raise FileNotFoundError("sys.executable doesn't name a Python interpreter")
    return [sys.executable, "-P", "-c", _BOOT, str(line), str(os.getpid()), json.dumps(sys.path)]


def _in_words(code: int | None) -> str:
    if code is None:
        return "could not be ended"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal without a name"
    return f"ended with signal {-code} ({name})"
