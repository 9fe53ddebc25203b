"""Runs a worker: the command that needs no name."""

from typing import Final

from runtime.cli.options import WorkerOptions

_DEFAULTS: Final = WorkerOptions()


def worker(*, options: WorkerOptions = _DEFAULTS) -> int:
    """Run a worker until it is stopped.

    Args:
        options: how it runs.
    """
    from runtime.cli.process import run_worker  # noqa: PLC0415 - other commands don't need it

    return run_worker(options)
