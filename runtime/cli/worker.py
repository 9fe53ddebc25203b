"""Runs a worker: the command that needs no name."""

from runtime.cli.options import WorkerOptions


def worker(*, options: WorkerOptions = WorkerOptions()) -> int:
    """Run a worker until it is stopped.

    Args:
        options: how it runs.
    """
    from runtime.composition import run_worker  # noqa: PLC0415 - other commands don't need it

    return run_worker(options)
