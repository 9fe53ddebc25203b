"""What a keeper needs to know of a server, and how a server is started apart from us."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Final, Protocol

from attrs import field, frozen

from runtime.embedded.account import Account

_DETACH: Final = ("/bin/sh", "-c", '"$@" &', "sh")
"""Starts a command and ends at once, so that the server isn't our child: nobody here has to wait
for it, and it looks alike to the process that started it and to one that adopted it."""


@frozen
class Launch:
    """How a server is started.

    Attributes:
        command: The command line.
        directory: The working directory.
        account: Whom it runs as.
    """

    command: list[str]
    directory: Path
    account: Account = field(factory=Account)


class Program(Protocol):
    """A server program with its files. All methods block, and may raise `OSError`."""

    @property
    def name(self) -> str:
        """What the server is called, for people."""

    @property
    def directory(self) -> Path:
        """The server's own directory, its real path."""

    @property
    def socket(self) -> Path:
        """The Unix socket that the server listens on."""

    @property
    def url(self) -> str:
        """Where clients reach it."""

    @property
    def polite(self) -> signal.Signals:
        """The signal that ends it in an orderly way."""

    @property
    def firm(self) -> signal.Signals:
        """The signal that ends it at once, still without losing anything."""

    def prepare(self, alive: int) -> None:
        """Make it ready to start; nothing of it runs now.

        Args:
            alive: Descriptor of `alive.lock`, which whatever is started here has to inherit.
        """

    def launch(self) -> Launch:
        """Return how to start it."""

    def answers(self) -> bool:
        """Say whether it serves requests now."""

    def complete(self) -> None:
        """Make what users rely on, where it is missing; it serves now."""

    def clean(self) -> None:
        """Remove what is of no use once it has ended."""


def environment() -> dict[str, str]:
    """Return our environment without what would change a private server's behaviour."""
    # PGPORT, PGDATA and the like; and a locale that isn't installed keeps Valkey from starting.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def start_apart(launch: Launch, log: Path, inherited: int) -> None:
    """Start a server in a session of its own, where no signal from our terminal reaches it.

    Args:
        launch: What to start.
        log: The file that its output is added to.
        inherited: The one descriptor that it inherits.

    Raises:
        OSError: It can't be started.
    """
    with log.open("ab") as output:
        subprocess.run(  # noqa: S603 - our own fixed command line
            [*_DETACH, *launch.command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=launch.directory,
            env=environment(),
            umask=0o077,
            start_new_session=True,
            pass_fds=[inherited],
            **launch.account.options(),
        )


def server_directory(data_dir: Path, name: str) -> Path:
    """Return a server's own directory, the same for everyone who means the same data directory."""
    return Path(os.path.realpath(data_dir)) / name
