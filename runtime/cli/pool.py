"""Runs a pool: as many workers on this machine as the load needs."""

from typing import Annotated, Final

from attrs import frozen
from cyclopts import Group, Parameter

from runtime.cli.options import WorkerOptions
from runtime.cli.values import Count, Duration
from runtime.errors import ConfigurationError
from runtime.pool.decision import Goal

SIZE: Final = Group("How many workers", sort_key=0)


@Parameter(name="*")
@frozen(kw_only=True)
class PoolOptions:
    """How many workers there may be, and what they are to keep.

    Attributes:
        least: How many workers there are always.
        most: How many workers there may be.
        target_wait: How long a task may wait until it begins, as long as there may be more workers.
    """

    least: Annotated[Count, Parameter(name="--min", group=SIZE)] = 1
    most: Annotated[Count, Parameter(name="--max", group=SIZE)] = 4
    target_wait: Annotated[Duration, Parameter(group=SIZE)] = 5.0


_SIZE: Final = PoolOptions()
_DEFAULTS: Final = WorkerOptions()


def pool(*, size: PoolOptions = _SIZE, options: WorkerOptions = _DEFAULTS) -> int:
    """Run workers in processes of their own, as many as the load needs.

    Takes all options of a worker and passes them on; a worker's name is that of the pool and a
    number. The first SIGTERM or Ctrl-C lets all drain, the second hurries them.

    Exit codes: 0 all have drained, 1 one left answers unsettled or had to be killed, 2 wrong use or
    configuration.

    Args:
        size: how many.
        options: how each worker runs.
    """
    from runtime.pool.program import run_pool  # noqa: PLC0415 - other commands don't need it

    return run_pool(options, checked(size, options.concurrency))


def checked(size: PoolOptions, slots: int) -> Goal:
    """Return what the pool is to keep.

    Args:
        size: how many workers there may be.
        slots: tasks that one of them runs at once.

    Raises:
        ConfigurationError: there may be fewer than there are always.
    """
    if size.least > size.most:
        raise ConfigurationError("--max", str(size.most), f"at least --min, which is {size.least}")
    return Goal(size.least, size.most, size.target_wait, slots)
