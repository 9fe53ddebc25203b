"""The figures that a worker goes by."""

from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt

MAX_BATCH: Final = 1_000
"""Entries in one call to the server: Lua's `unpack` ends at 8,000 values."""

MAX_BATCH_BYTES: Final = 8 * 2**20
"""Bytes in one call to the server."""


@frozen
class WorkerSettings:
    """A worker's figures; times in seconds.

    Attributes:
        grace: how long running handlers may go on after a stop request.
        cancel_grace: the same after a second request, or when the host cancels the worker, with
            the settling of what is left included.
        timeout: how long a handler may run, unless it or the task says otherwise.
        heartbeat_interval: between heartbeats.
        heartbeat_expires: after which a heartbeat that isn't renewed is gone.
        max_task_bytes: of a body; a larger one becomes a dead letter.
        max_result_bytes: of what a handler returns; more is a failure of the handler.
        horizon: work that is fetched ahead.
        patience: how long a fetched task may wait for a slot before it goes back.
        audit_interval: between looks at what the server says that this worker holds.
        strict_order: whether an earlier queue always goes before a later one.
        burst: whether the worker ends when its queues are empty.
        log_tasks: whether each task gets its lines in the log.
    """

    grace: float = field(default=30.0, validator=ge(0))
    cancel_grace: float = field(default=5.0, validator=ge(0))
    timeout: float = field(default=600.0, validator=gt(0))
    heartbeat_interval: float = field(default=30.0, validator=gt(0))
    heartbeat_expires: float = field(default=60.0, validator=gt(0))
    max_task_bytes: int = field(default=2**20, validator=gt(0))
    max_result_bytes: int = field(default=2**20, validator=gt(0))
    horizon: float = field(default=0.010, validator=ge(0))
    patience: float = field(default=0.100, validator=gt(0))
    audit_interval: float = field(default=5.0, validator=gt(0))
    strict_order: bool = False
    burst: bool = False
    log_tasks: bool = True
