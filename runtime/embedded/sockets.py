"""Where a private server's Unix socket lies, and who listens on one."""

import hashlib
import os
import re
import socket
import stat
import struct
from pathlib import Path
from typing import Final

_LONGEST: Final = 107
"""Bytes that the path of a Unix socket may have on Linux."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._/-]+")
"""Paths that mean the same in an URL, in PostgreSQL's comma-separated list, and to SQLAlchemy."""

_SHORT: Final = Path("/tmp")  # noqa: S108 - a directory of mode 700 is made below, and checked
"""Not `TMPDIR` or `XDG_RUNTIME_DIR`: every process must find the same place."""


def socket_directory(directory: Path, name: str) -> Path:
    """Return where the socket of the server that lives in a directory belongs.

    Args:
        directory: The server's own directory, its real path.
        name: The socket's file name.
    """
    path = str(directory / name)
    if len(os.fsencode(path)) <= _LONGEST and _PLAIN.fullmatch(path):
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return _SHORT / f"brain-{os.geteuid()}-{digest}"


def make_private(directory: Path, *owners: int) -> None:
    """Make a directory that only we can enter, or check that an existing one is such.

    Args:
        directory: Its path; the parent exists.
        owners: Ids of other users that may own it beside us.

    Raises:
        OSError: It can't be made, or is somebody else's, or open to others.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    ours = status.st_uid in {os.geteuid(), *owners}
    if not stat.S_ISDIR(status.st_mode) or not ours or status.st_mode & 0o077:
        raise PermissionError(f"{directory} belongs to somebody else or is open to others")


def listener(path: Path) -> int | None:
    """Return the id of the process that listens on a Unix socket, None if nobody can be seen.

    The kernel tells, so it is never a stale one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    # 0 stands for a process in another container.
    return pid or None
