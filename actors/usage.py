"""What a worker's process takes of its machine, measured outside and told by the heartbeat."""

from attrs import frozen


@frozen
class Usage:
    """A measurement; None is what isn't measured.

    Attributes:
        cpu_percent: of one processor, since the measurement before.
        memory_bytes: resident.
        memory_percent: that, of what the process may use.
    """

    cpu_percent: float | None = None
    memory_bytes: int | None = None
    memory_percent: float | None = None
