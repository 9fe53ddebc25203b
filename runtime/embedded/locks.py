"""Files that processes lock, and that the kernel unlocks when a process dies, however it dies."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """A file that is locked by `flock`, so by this opening of it, not by the process.

    Two openings within one process exclude each other like those of two processes; a child that
    inherits the descriptor shares the lock, which lasts until the last of them is closed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if need be.

        Raises:
            OSError: It can't be opened or created.
        """
        # Python opens files so that programs we start don't inherit them.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def fileno(self) -> int:
        """Return the descriptor, to hand it on to a child."""
        return self._descriptor

    def try_exclusive(self) -> bool:
        """Lock it for ourselves, and say whether we could; if not, a shared lock is lost."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Lock it together with others, and say whether we could."""
        return self._try(fcntl.LOCK_SH)

    def release(self) -> None:
        """Unlock it; nothing happens if it isn't locked."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close our descriptor, and with it the lock unless a child has inherited it."""
        os.close(self._descriptor)

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
