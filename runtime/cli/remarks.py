"""What is wrong, in words, and what is only worth knowing: plain functions from views to sentences.

Wrong is what somebody should look at; the worst comes first. It is by these that `status` ends with
exit code 1. What somebody has ordered (a pause, a bound on dead letters, a new version) is a note.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from runtime.cli.figures import age
from runtime.cli.queue_views import LIVES, QueueView
from runtime.cli.worker_views import TaskView, WorkerView

OLD: Final = 300.0
"""Seconds that a queue's next task may wait."""

LONG: Final = 600.0
"""Seconds that a task may run; by default a handler has no more."""

RECENT: Final = 3_600.0
"""Seconds for which a dead letter is news."""

_SILENT: Final = 40.0
"""Seconds after which a heartbeat is late; it comes every 30 s."""

_NEARLY: Final = 2.5
"""Seconds without a renewal after which a lease is in danger; it is renewed every second."""

_SLOW: Final = 1.0
"""Seconds that the server may take for an answer."""

_OFF: Final = 5.0
"""Seconds by which a clock may differ from the server's."""

_NAMED: Final = 3
"""Workers and tasks that a sentence names."""


def remarks(
    queues: Sequence[QueueView],
    workers: Sequence[WorkerView],
    answer_s: float = 0.0,
    clock_s: float = 0.0,
) -> tuple[str, ...]:
    """Say what is wrong, the worst first.

    Args:
        queues: all of them.
        workers: likewise.
        answer_s: how long the slowest answer of the server took.
        clock_s: by how many seconds this machine's clock is ahead of the server's.
    """
    return (
        *(said for queue in queues for said in _unserved(queue, workers)),
        *(said for queue in queues for said in _orphaned(queue, workers)),
        *_lapsed(workers),
        *_stalled(queues, workers),
        *_slow(answer_s),
        *(said for queue in queues for said in _old(queue)),
        *_in_danger(workers),
        *(said for queue in queues for said in _buried(queue)),
        *_long(workers),
        *_clocks(workers, clock_s),
    )


def notes(queues: Sequence[QueueView], workers: Sequence[WorkerView]) -> tuple[str, ...]:
    """Say what is as somebody has ordered it, and worth knowing."""
    said = [
        f"{queue.name} is paused, for {queue.paused_s:.0f} s now: nothing is taken from it "
        "until `resume`."
        for queue in queues
        if queue.paused_s is not None
    ]
    said += [
        f"{queue.trimmed} dead letters of {queue.name} have made room for newer ones "
        "(--dead-letters-kept)."
        for queue in queues
        if queue.trimmed
    ]
    versions = Counter(worker.version for worker in workers if worker.version)
    if len(versions) > 1:
        listed = ", ".join(f"{version} ({count})" for version, count in sorted(versions.items()))
        said.append(f"Workers run {len(versions)} versions: {listed}.")
    return tuple(said)


def is_troubled(worker: WorkerView) -> bool:
    """Say whether something is wrong with a worker, but for what it runs."""
    return (
        not worker.lease_alive
        or worker.heartbeat_s > _SILENT
        or (worker.lease_s is not None and worker.lease_s >= _NEARLY)
    )


def _unserved(queue: QueueView, workers: Sequence[WorkerView]) -> Iterator[str]:
    serving = [worker for worker in workers if queue.name in worker.queues]
    # One whose loop is stuck has no heartbeat any more, and serves the queue all the same.
    if not serving and not any(holder.lives for holder in queue.holders):
        if queue.waiting:
            verb = "task waits" if queue.waiting == 1 else "tasks wait"
            yield f"{queue.waiting} {verb} on {queue.name}, and no worker serves it."
        if queue.delayed:
            verb = "delayed task is" if queue.delayed == 1 else "delayed tasks are"
            yield f"{queue.delayed} {verb} to come to {queue.name}, and no worker serves it."
    elif serving and queue.waiting and not any(worker.lease_alive for worker in serving):
        yield f"No worker of {queue.name} has a living lease: its tasks wait."


def _orphaned(queue: QueueView, workers: Sequence[WorkerView]) -> Iterator[str]:
    gone = sum(holder.held for holder in queue.holders if not holder.lives)
    serving = any(queue.name in worker.queues and worker.lease_alive for worker in workers)
    if gone:
        then = (
            "others take them over within 5 s"
            if serving
            else "the next worker that serves it takes them over"
        )
        tasks = f"1 task of {queue.name} is" if gone == 1 else f"{gone} tasks of {queue.name} are"
        yield f"{tasks} held by workers that are gone; {then}."


def _lapsed(workers: Sequence[WorkerView]) -> Iterator[str]:
    lapsed = [worker for worker in workers if not worker.lease_alive]
    if lapsed:
        since = max((worker.lease_s or 0.0 for worker in lapsed), default=0.0)
        how = f"no renewed lease for {age(since)}" if since >= LIVES else "no lease"
        has = "has" if len(lapsed) == 1 else "have"
        yield f"{_named(lapsed)} {has} {how}: suspended, cut off or dead; others take the tasks."


def _stalled(queues: Sequence[QueueView], workers: Sequence[WorkerView]) -> Iterator[str]:
    silent = [worker for worker in workers if worker.lease_alive and worker.heartbeat_s > _SILENT]
    for worker in silent:
        yield (
            f"Worker {worker.worker_id} lives but has been silent for {age(worker.heartbeat_s)}: "
            "a handler blocks its event loop; its log says which."
        )
    known = {worker.worker_id for worker in workers}
    living = (holder.worker_id for queue in queues for holder in queue.holders if holder.lives)
    for name in dict.fromkeys(living):
        if name not in known:
            yield (
                f"Worker {name} lives but has been silent for more than a minute: a handler "
                "blocks its event loop; its log says which."
            )


def _slow(answer_s: float) -> Iterator[str]:
    if answer_s >= _SLOW:
        yield f"The server took {answer_s:.1f} s for an answer: it or the way to it is overloaded."


def _old(queue: QueueView) -> Iterator[str]:
    if queue.oldest_s is not None and queue.oldest_s >= OLD:
        paused = "" if queue.paused_s is None else ", and the queue is paused"
        yield f"The next task of {queue.name} has waited for {age(queue.oldest_s)}{paused}."


def _in_danger(workers: Sequence[WorkerView]) -> Iterator[str]:
    late = [
        worker
        for worker in workers
        if worker.lease_alive and worker.lease_s is not None and worker.lease_s >= _NEARLY
    ]
    if late:
        worst = max(worker.lease_s or 0.0 for worker in late)
        yield (
            f"{_named(late)} last renewed a lease {worst:.1f} s ago, which is due every second; "
            f"at {LIVES:.0f} s others take the tasks."
        )


def _buried(queue: QueueView) -> Iterator[str]:
    if queue.dead and queue.dead_newest_s is not None and queue.dead_newest_s < RECENT:
        count = "1 dead letter" if queue.dead == 1 else f"{queue.dead} dead letters"
        yield (
            f"{queue.name} has {count}, the newest of {age(queue.dead_newest_s)} ago "
            f"({queue.dead_newest}): `dead list`."
        )


def _long(workers: Sequence[WorkerView]) -> Iterator[str]:
    found = [(worker, task) for worker in workers for task in worker.runs if task.seconds >= LONG]
    found.sort(key=lambda pair: -pair[1].seconds)
    for worker, task in found[:_NAMED]:
        yield f"{_task(task)} has run for {age(task.seconds)} on worker {worker.worker_id}."
    if len(found) > _NAMED:
        yield f"{len(found) - _NAMED} more tasks have run for longer than {age(LONG)}."


def _clocks(workers: Sequence[WorkerView], clock_s: float) -> Iterator[str]:
    if abs(clock_s) >= _OFF:
        yield f"This machine's clock is {_off(clock_s)} the server's."
    off = [worker for worker in workers if abs(worker.clock_s or 0.0) >= _OFF]
    if off:
        worst = max(off, key=lambda worker: abs(worker.clock_s or 0.0))
        others = f" ({len(off) - 1} more are off)" if len(off) > 1 else ""
        how = _off(worst.clock_s or 0.0)
        yield f"The clock of worker {worst.worker_id} is {how} the server's{others}."


def _off(seconds: float) -> str:
    return f"{age(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"


def _task(task: TaskView) -> str:
    return f"Task {task.task_id} ({task.type})"


def _named(workers: Sequence[WorkerView]) -> str:
    names = ", ".join(worker.worker_id for worker in workers[:_NAMED])
    more = len(workers) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"Worker{'s' if len(workers) > 1 else ''} {names}{rest}"
