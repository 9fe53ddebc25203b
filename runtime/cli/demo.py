"""Shows what the pool does: a cluster at work, and a worker that is killed in the middle of it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runtime.errors import ConfigurationError


def demo(
    *, picture: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None
) -> int:
    """Show a cluster at work on private servers of its own, and kill one of its two workers.

    It ends by itself within a minute and leaves nothing behind. What is set for other workers has
    no effect on it, but for OLLAMA_HOST and OLLAMA_MODEL: with OLLAMA_HOST its missions are chats.

    Exit codes: 0 each task was answered once, 1 a part of it failed, 129, 130 or 143 it was ended
    by a signal.

    Args:
        picture: Also write the view, as it is after the kill, into this file as an SVG.
    """
    if picture is not None and not picture.absolute().parent.is_dir():
        raise ConfigurationError(
            "--picture", repr(str(picture)), "a file in a directory that is there"
        )
    try:
        from runtime.demo.run import run_demo  # noqa: PLC0415 - the other commands don't need it
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "demo",
            f"a command that needs the package {error.name}",
            'it to be installed (pip install "brain-worker-pool[all]")',
        ) from None
    return run_demo(picture)
