"""One server that several processes share: the first starts it, the last stops it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final

from loguru import logger

from runtime.embedded.errors import DataDirectoryError, ServerFailedError
from runtime.embedded.locks import FileLock
from runtime.embedded.program import Program, start_apart
from runtime.embedded.sockets import listener

_EVERY: Final = 0.02
_PATIENCE: Final = 120.0
_MARKS: Final = ("FATAL", "PANIC", "ERROR", "rror: ", " # ")
"""What tells the line of a log that says why a server ended from those around it."""


class AbandonedError(Exception):
    """Joining was abandoned by our own process."""


class Keeper:
    """Keeps one server running for as long as processes use it.

    All methods block; those marked so may be called from another thread meanwhile.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._log = program.directory / "log"
        self._log_start = 0
        self._abandoned = threading.Event()
        self._locks: list[FileLock] = []
        self._user = False

    @property
    def url(self) -> str:
        """Where clients reach the server."""
        return self._program.url

    def join(self) -> None:
        """Become a user of the server: start it, or find it running.

        Raises:
            DataDirectoryError: Its directory can't be made or written.
            ServerFailedError: It doesn't start, or doesn't answer within two minutes.
            NoAccountError: It refuses root, and no other account can run it.
            AbandonedError: `abandon` was called.
        """
        with self._directory_errors():
            self._program.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._starting = self._lock("start.lock")
            self._users = self._lock("users.lock")
            # Ours only to look: the server inherits another opening of the same file.
            self._alive = self._lock("alive.lock")
        try:
            self.revive()
        except BaseException:
            self.leave()
            raise

    def revive(self) -> None:
        """Start the server again if it has ended; raises what `join` raises."""
        with self._directory_errors():
            deadline = time.monotonic() + _PATIENCE
            while not self._starting.try_exclusive():
                self._check(deadline, "another process keeps starting or stopping it")
                self._pause()
            try:
                # Never refused: it is only ever exclusive under the lock that we hold.
                self._user = self._users.try_shared()
                self._ensure_running()
            finally:
                self._starting.release()

    def abandon(self) -> None:
        """Make `join` and `revive` give up soon (from another thread)."""
        self._abandoned.set()

    def alive(self) -> bool:
        """Say whether anything of the server runs; costs two system calls."""
        if not self._alive.try_shared():
            return True
        self._alive.release()
        return False

    def leave(self) -> None:
        """Stop being a user, and stop the server if nobody else is one; within half a minute.

        Does nothing if we aren't a user.
        """
        # Who holds `start.lock` for long is about to become a user, so we aren't the last.
        alone = self._user and self._wait_for(self._starting.try_exclusive, 10)
        if alone and self._users.try_exclusive():
            self._stop()
        self._user = False
        while self._locks:
            self._locks.pop().close()

    def _lock(self, name: str) -> FileLock:
        lock = FileLock(self._program.directory / name)
        self._locks.append(lock)
        return lock

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        started = False
        # Only who holds `alive.lock` counts: a socket may be that of a removed data directory.
        while not (alive := self.alive()) or not self._program.answers():
            if not alive and started:
                raise ServerFailedError(self._program.name, self._log, self._last_words())
            if not alive:
                started = self._start()
            self._check(deadline, "it runs but doesn't answer")
            self._pause()
        self._program.complete()
        what = "started" if started else "found running"
        logger.info("Private {} server {}: {}", self._program.name, what, self._program.directory)

    def _start(self) -> bool:
        with closing(FileLock(self._program.directory / "alive.lock")) as alive:
            # Another user may be looking at this very moment; we try again.
            if not alive.try_exclusive():
                return False
            self._log_start = self._log.stat().st_size if self._log.exists() else 0
            self._program.prepare(alive.fileno())
            start_apart(self._program.launch(), self._log, alive.fileno())
        return True

    def _stop(self) -> None:
        # One that we have only just started, and abandoned, doesn't listen yet.
        self._wait_for(lambda: bool(self._listener()) or not self.alive(), 5)
        pid = self._listener()
        for sign, patience in ((self._program.polite, 10), (self._program.firm, 5)):
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
                    # One that was suspended would never see the signal.
                    os.kill(pid, signal.SIGCONT)
            if self._wait_for(lambda: not self.alive(), patience if pid else 0):
                self._program.clean()
                logger.info("Private {} server stopped", self._program.name)
                return
        logger.warning(
            "The private {} server in {} did not stop; the next worker there uses it",
            self._program.name,
            self._program.directory,
        )

    def _listener(self) -> int | None:
        return listener(self._program.socket)

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        said = [line for line in lines if line and "WARNING" not in line]
        marked = [line for line in said if any(mark in line for mark in _MARKS)]
        return (marked or said or ["it ended without a word"])[-1]

    def _check(self, deadline: float, reason: str) -> None:
        if time.monotonic() > deadline:
            reason = f"{reason}, for {_PATIENCE:.0f} s now"
            raise ServerFailedError(self._program.name, self._log, reason)

    def _pause(self) -> None:
        if self._abandoned.wait(_EVERY):
            raise AbandonedError

    @staticmethod
    def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_EVERY)
        return True

    @contextmanager
    def _directory_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name, directory = self._program.name, self._program.directory
            raise DataDirectoryError(name, directory, error.strerror or str(error)) from error
