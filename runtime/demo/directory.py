"""The directory of a demonstration: its servers' files, its workers' logs; removed at the end."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.demo.errors import DemoError

_PREFIX: Final = "brain-demo-"
_PASSABLE: Final = 0o711


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory that exists during the block.

    Raises:
        DemoError: it can't be made, or not be removed.
    """
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise DemoError(
            f"The demo needs a directory for temporary files, and can't make one: {error}; "
            "set TMPDIR to one that can be written."
        ) from error
    if os.geteuid() == 0:
        # PostgreSQL refuses root, so another account may have to pass through to its own part.
        path.chmod(_PASSABLE)
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise DemoError(
            f"The demo's directory {path} can't be removed ({error.strerror or error}); remove it "
            "by hand."
        ) from error
