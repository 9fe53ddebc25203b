"""The tasks of a run, written and pushed as a producer does."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import redis

from benchmarks.processes import QUEUE
from messages import encode_task

_AT_ONCE: Final = 1_000
"""Entries of one RPUSH."""


def body(task_type: str, payload: Mapping[str, Any], task_id: str | None = None) -> bytes:
    """Write a task."""
    return encode_task(
        task_id=task_id or str(uuid4()),
        task_type=task_type,
        payload=payload,
        created_at=datetime.now(UTC),
    )


def push_noops(client: redis.Redis, count: int, *, queue: str = QUEUE) -> None:
    """Put so many tasks that do nothing on a queue."""
    for chunk in _chunks(count):
        client.rpush(queue, *(body("bench.noop", {"number": number}) for number in chunk))


def _chunks(count: int) -> Iterator[range]:
    for begin in range(0, count, _AT_ONCE):
        yield range(begin, min(begin + _AT_ONCE, count))
