"""What BRAiN's handlers work with; the composition root makes it and ends it."""

from collections.abc import Callable
from datetime import datetime
from time import perf_counter

from attrs import field, frozen
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from runtime.brain.clock import stored, utc_now
from runtime.brain.memory import Memory
from runtime.brain.ollama import Ollama
from runtime.task_queue import TaskQueue


@frozen
class Services:
    """The servers and clocks that the handlers share.

    Attributes:
        engine: BRAiN's database, from `runtime.brain.database.engine`.
        redis: A client of the pool's own Redis, which `health_check` probes.
        clock: Tells the time, aware.
        timer: Counts seconds, never backwards: measures latencies.
        probe_timeout: Seconds that `health_check` waits for the answer of each server.
        queue: Pushes the missions that `delegate_task` delegates.
        ollama: The models that agents chat with; connects at its first use.
        memory: What agents remember; opened at its first use.
    """

    engine: AsyncEngine
    redis: Redis
    clock: Callable[[], datetime] = utc_now
    timer: Callable[[], float] = perf_counter
    probe_timeout: float = 2.0
    queue: TaskQueue = field(kw_only=True)
    ollama: Ollama = field(factory=Ollama)
    memory: Memory = field(factory=Memory)

    def now(self) -> datetime:
        """Return the time as BRAiN's tables hold it: UTC, without a zone."""
        return stored(self.clock())
