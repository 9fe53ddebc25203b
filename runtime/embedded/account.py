"""An account for a program that refuses to run as root, as PostgreSQL does.

Not root: our own. Root: a user namespace of its own in which our files look like an ordinary
user's, so nothing changes its owner and no directory above is opened up. Where namespaces aren't
permitted (a container's usual seccomp profile): `nobody`, to whom the files are then given.
"""

import functools
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypedDict

from attrs import frozen

from runtime.embedded.errors import NoAccountError

_FALLBACK: Final = "nobody"


class AccountOptions(TypedDict, total=False):
    """What `subprocess` has to be told to run as an account."""

    user: int
    group: int
    extra_groups: list[int]


@frozen
class Account:
    """How a program is run as somebody else than root.

    Attributes:
        prefix: What goes before the program's own command line.
        uid: The user to change to, None to stay who we are.
        gid: The group to change to, None likewise.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def command(self, program: Path, *arguments: str) -> list[str]:
        """Return the command line that runs the program."""
        return [*self.prefix, str(program), *arguments]

    def options(self) -> AccountOptions:
        """Return the keyword arguments for `subprocess`."""
        if self.uid is None or self.gid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, directory: Path) -> None:
        """Give a directory and all in it to the account, if it is somebody else's.

        Raises:
            OSError: It can't be given away.
        """
        uid = os.geteuid() if self.uid is None else self.uid
        gid = os.getegid() if self.gid is None else self.gid
        if directory.stat().st_uid == uid:
            return
        for path, folders, files in os.walk(directory):
            for name in (*folders, *files):
                os.chown(Path(path, name), uid, gid, follow_symlinks=False)
        # Last, so that a walk that was interrupted is walked again.
        os.chown(directory, uid, gid)


def unprivileged(server: str, program: Path, directory: Path) -> Account:
    """Return the account to run a server with.

    Args:
        server: What the server is called, for people.
        program: A program that the account must be able to run.
        directory: Existing directory that the account must be able to reach.

    Raises:
        NoAccountError: We are root and no other account can run the program on that directory.
    """
    if os.geteuid() != 0:
        return Account()
    unshare = shutil.which("unshare")
    if unshare is not None and _permits_namespaces(unshare):
        return Account(prefix=_namespace(unshare))
    nobody = pwd.getpwnam(_FALLBACK)
    account = Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
    for path, probe in (
        (program, [str(program), "--version"]),
        (directory.parent, ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory.parent)]),
    ):
        if not _succeeds(account, probe):
            raise NoAccountError(server, path, _FALLBACK)
    return account


def _namespace(unshare: str) -> tuple[str, ...]:
    return (unshare, "--user", "--map-user=1000", "--map-group=1000", "--")


@functools.cache
def _permits_namespaces(unshare: str) -> bool:
    return _succeeds(Account(), [*_namespace(unshare), "true"])


def _succeeds(account: Account, command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - our own fixed command lines
            command, check=False, capture_output=True, cwd="/", **account.options()
        )
    except OSError:
        return False
    return done.returncode == 0
