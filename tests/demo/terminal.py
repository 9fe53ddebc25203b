"""The demonstration as its users run it: on a terminal, or with its output in a pipe."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from tests.cli.commands import environment
from tests.embedded_user import processes
from tests.polling import eventually

_PATIENCE: Final = 100.0
_SEQUENCE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_ATTACHED: Final = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "runtime", "demo"])
"""
"""Makes the terminal that of a session, as a shell's is, so that its end is a SIGHUP."""


class Demo:
    """A demonstration with a directory for temporary files of its own.

    Args:
        directory: the test's.
        variables: more of the environment.
    """

    _command: tuple[str, ...] = ("-m", "runtime", "demo")

    def __init__(self, directory: Path, **variables: str) -> None:
        self.temporary = directory / "t"
        self.temporary.mkdir()
        self._output, theirs = self._open()
        self.text = ""
        # A signal may cut off what is being written to a terminal; the next moment is drawn anew.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        env = environment(directory, TMPDIR=str(self.temporary), TERM="xterm-256color")
        self._process = subprocess.Popen(
            [sys.executable, *self._command],
            cwd=directory,
            env={name: value for name, value in env.items() if name != "NO_COLOR"} | variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        # Only a test that fails comes here with something that runs.
        for pid in self._running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def says(self, pattern: str) -> re.Match[str]:
        """Read its output until a pattern is in it."""
        while (found := re.search(pattern, self.text)) is None:
            assert self._read(), self.text
        return found

    def end(self) -> int:
        """Read its output to the end, and return its exit code."""
        while self._output >= 0 and self._read():
            pass
        return self._process.wait(timeout=_PATIENCE)

    def close(self) -> None:
        """Close our end, as a terminal's window is closed."""
        if self._output >= 0:
            os.close(self._output)
            self._output = -1

    def left_nothing(self) -> None:
        """Check that no process and no file of its is left."""
        eventually(lambda: not self._running(), what="all of its processes have ended", timeout=10)
        assert list(self.temporary.iterdir()) == []

    def _running(self) -> set[int]:
        """Return the processes that work in its files, or were told where they are."""
        found = processes(self.temporary)
        for entry in Path("/proc").iterdir():
            try:
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(self.temporary) in told:
                found.add(int(entry.name))
        return found

    def _open(self) -> tuple[int, int]:
        ours, theirs = os.pipe()
        return ours, theirs

    def _read(self) -> bool:
        """Read what there is; return whether more may come."""
        deadline = time.monotonic() + _PATIENCE
        while not select.select([self._output], [], [], 1)[0]:
            assert time.monotonic() < deadline, self.text
        try:
            chunk = os.read(self._output, 65536)
        except OSError:
            # A terminal that nobody has open any more.
            return False
        self.text += self._decoder.decode(chunk)
        return bool(chunk)


class OnTerminal(Demo):
    """A demonstration on a terminal."""

    columns, lines = 80, 24
    _command = ("-c", _ATTACHED)

    def _open(self) -> tuple[int, int]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))
        return ours, theirs

    def frames(self) -> list[list[str]]:
        """Return what the screen showed, one moment after the other, each as its lines."""
        inside = self.text.partition("\x1b[?1049h")[2].partition("\x1b[?1049l")[0]
        drawn = [plain(frame) for frame in inside.split("\x1b[H")]
        return [frame.rstrip("\n").split("\n") for frame in drawn if frame.strip()]

    def after(self) -> list[str]:
        """Return what was written when the screen was the user's again, as lines."""
        return plain(self.text.rpartition("\x1b[?1049l")[2]).split("\n")


def plain(text: str) -> str:
    """Return a text without what isn't for people but for the terminal."""
    return _SEQUENCE.sub("", text).replace("\r", "")
