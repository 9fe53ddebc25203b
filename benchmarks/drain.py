"""How fast a queue drains, seen from the server, so that all who drain it are timed alike.

A task is in the queue, in the inflight list or answered (I1). So what is left is the length of
two lists, and a look at them costs the server next to nothing.
"""

import time
from collections.abc import Callable
from typing import Final, cast

import redis
from attrs import frozen

from benchmarks.processes import QUEUE, BenchmarkError, Measured
from runtime.redis import keys

_LOOK: Final = 0.01
"""Seconds between looks."""

_STUCK: Final = 60.0
"""Seconds without any progress that end the run."""


@frozen
class Sample:
    """One look.

    Attributes:
        time: in seconds.
        left: tasks without an answer.
    """

    time: float
    left: int


@frozen
class Drained:
    """The looks, from the first answers to the last."""

    samples: tuple[Sample, ...]

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return rate(self.samples[0], self.samples[-1])


def rate(begin: Sample, end: Sample) -> float:
    """Return the tasks a second between two looks."""
    return (begin.left - end.left) / (end.time - begin.time)


def watch_drain(
    client: redis.Redis,
    process: Measured,
    total: int,
    each: Callable[[Sample], None] = lambda _: None,
    *,
    queue: str = QUEUE,
) -> Drained:
    """Watch a process drain a queue of so many tasks that do nothing.

    Args:
        client: to look.
        process: who drains.
        total: how many tasks were pushed.
        each: called with each look.
        queue: which one.

    Raises:
        BenchmarkError: it ended or got stuck.
    """
    holder = _holder(client, process, queue)
    full = _look(client, holder, queue)
    samples = [full]
    while samples[-1].left:
        time.sleep(_LOOK)
        sample = _look(client, holder, queue)
        each(sample)
        if sample.left == samples[-1].left:
            _check_progress(process, samples[-1], sample)
        elif samples[-1].left == total:
            # The first answers came after this look's predecessor: time runs from here.
            full, samples = samples[-1], [sample]
        else:
            samples.append(sample)
    if len(samples) == 1:
        # One look saw the end of it all. From the last look before, the rate is understated.
        samples.insert(0, full)
    return Drained(tuple(samples))


def _holder(client: redis.Redis, process: Measured, queue: str) -> str:
    """Wait for the process to join, and return under which name it holds tasks."""
    found = process.wait_for(lambda: cast("list[bytes]", client.hkeys(keys.leases(queue))), 60)
    return found[0].decode()


def _look(client: redis.Redis, holder: str, queue: str) -> Sample:
    with client.pipeline(transaction=True) as both:
        both.llen(queue)
        both.llen(keys.inflight(queue, holder))
        lengths = both.execute()
    return Sample(time.perf_counter(), sum(lengths))


def _check_progress(process: Measured, last: Sample, now: Sample) -> None:
    if process.process.poll() is not None:
        raise BenchmarkError(f"{process.name} has ended: {process.said()}")
    if now.time - last.time > _STUCK:
        raise BenchmarkError(f"{process.name} is stuck with {now.left} tasks: {process.said()}")


def check_answers(client: redis.Redis, total: int) -> None:
    """Look whether so many tasks were answered, for fast and wrong counts for nothing.

    Raises:
        BenchmarkError: they weren't.
    """
    answers = 0
    for key in client.scan_iter(match=keys.result("*"), count=10_000):
        if answers == 0 and b'"success":true' not in cast("bytes", client.get(key)):
            raise BenchmarkError(f"a task failed: {client.get(key)!r}")
        answers += 1
    if answers != total:
        raise BenchmarkError(f"of {total} tasks {answers} were answered")
