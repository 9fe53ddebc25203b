"""What is wrong, in words, and what is only worth knowing: plain functions from views to sentences.

Wrong is what somebody should look at; the worst comes first. It is by these that `status` ends with
exit code 1. What somebody has ordered (a pause, a bound on dead letters, a new version) is a note.
A sentence is read at night by somebody who hasn't written the pool: it says what is stuck, where,
for how long, and what to do.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from messages import Reason
from runtime.cli.figures import age
from runtime.cli.queue_views import LIVES, DeadView, QueueView
from runtime.cli.worker_views import TaskView, WorkerView

OLD: Final = 300.0
"""Seconds that a queue's next task may wait."""

LONG: Final = 600.0
"""Seconds that a task may run; by default a handler has no more."""

_SILENT: Final = 40.0
"""Seconds after which a heartbeat is late; it comes every 30 s."""

_NEARLY: Final = 2.5
"""Seconds without a renewal after which a lease is in danger; it is renewed every second."""

_SLOW: Final = 1.0
"""Seconds that the server may take for an answer."""

_OFF: Final = 5.0
"""Seconds by which a clock may differ from the server's."""

_DATED: Final = "it dates answers wrongly and misjudges `expires_at`; set it by NTP"

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
        *(said for queue in queues for said in _old(queue, workers)),
        *_in_danger(workers),
        *(said for queue in queues for said in _unknown(queue)),
        *(said for queue in queues for said in _buried(queue)),
        *_long(workers),
        *_clocks(workers, clock_s),
    )


def notes(queues: Sequence[QueueView], workers: Sequence[WorkerView]) -> tuple[str, ...]:
    """Say what is as somebody has ordered it, and worth knowing."""
    said = [
        f"{queue.name} is paused, for {age(queue.paused_s)} now: "
        f"{_tasks(queue.waiting, 'wait') if queue.waiting else 'nothing is taken from it'} until "
        f"`resume {queue.name}`."
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
    serving = _serving(queue, workers)
    # One whose loop is stuck has no heartbeat any more, and serves the queue all the same.
    if not serving and not any(holder.lives for holder in queue.holders):
        start = f"no worker serves it: start one with `--queues {queue.name}`."
        if queue.waiting:
            waits = _tasks(queue.waiting, "wait")
            yield f"{waits} on {queue.name}{_for(queue)}, and {start}"
        if queue.delayed:
            verb = "delayed task is" if queue.delayed == 1 else "delayed tasks are"
            yield f"{queue.delayed:,} {verb} to come to {queue.name}, and {start}"
    elif serving and queue.waiting and not any(worker.lease_alive for worker in serving):
        waits = _tasks(queue.waiting, "wait")
        yield f"No worker of {queue.name} has a living lease: {waits}{_for(queue)}."


def _orphaned(queue: QueueView, workers: Sequence[WorkerView]) -> Iterator[str]:
    gone = sum(holder.held for holder in queue.holders if not holder.lives)
    serving = any(worker.lease_alive for worker in _serving(queue, workers))
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
        served = {name for worker in workers if worker.lease_alive for name in worker.queues}
        theirs = {name for worker in lapsed for name in worker.queues}
        then = "others take the tasks" if theirs <= served else "nobody takes the tasks"
        yield (
            f"{_begun(lapsed)} {has} {how}: suspended, cut off or dead; {then}. "
            "`kill -CONT` wakes one that was stopped."
        )


def _stalled(queues: Sequence[QueueView], workers: Sequence[WorkerView]) -> Iterator[str]:
    silent = [worker for worker in workers if worker.lease_alive and worker.heartbeat_s > _SILENT]
    for worker in silent:
        holds = ", ".join(f"{task.task_id} ({task.type})" for task in worker.holds[:_NAMED])
        which = f" It holds {holds}: `cancel` that" if holds else " Cancel that task"
        yield (
            f"{_begun([worker])} lives but has been silent for {age(worker.heartbeat_s)}: a "
            f"handler blocks its event loop; its log says which.{which}, then kill the process."
        )
    known = {worker.worker_id for worker in workers}
    living = (holder.worker_id for queue in queues for holder in queue.holders if holder.lives)
    for name in dict.fromkeys(living):
        if name not in known:
            yield (
                f"Worker {name} lives but has been silent for more than a minute: a handler "
                "blocks its event loop; its log says which. Cancel that task, then kill the "
                "process."
            )


def _slow(answer_s: float) -> Iterator[str]:
    if answer_s >= _SLOW:
        yield (
            f"The server took {answer_s:.1f} s for an answer: it or the way to it is overloaded; "
            "`redis-cli SLOWLOG GET` tells which."
        )


def _old(queue: QueueView, workers: Sequence[WorkerView]) -> Iterator[str]:
    if queue.oldest_s is None or queue.oldest_s < OLD:
        return
    serving = [worker for worker in _serving(queue, workers) if worker.lease_alive]
    waited = f"The next task of {queue.name} has waited for {age(queue.oldest_s)}"
    behind = f", {queue.waiting - 1:,} more behind it" if queue.waiting > 1 else ""
    if queue.paused_s is not None:
        yield f"{waited}{behind}, and the queue is paused: `resume {queue.name}`."
    elif serving:
        busy = sum(worker.active for worker in serving)
        slots = sum(worker.slots for worker in serving)
        more = ": start more workers, or give them more slots" if busy >= slots else ""
        theirs = _named(serving, placed=False)
        yield f"{waited}{behind}; {busy} of {slots} slots of {theirs} are busy{more}."
    elif any(holder.lives for holder in queue.holders):
        yield f"{waited}{behind}."
    # Where nobody lives who serves it, that has been said, with how long the task has waited.


def _in_danger(workers: Sequence[WorkerView]) -> Iterator[str]:
    late = [
        worker
        for worker in workers
        if worker.lease_alive and worker.lease_s is not None and worker.lease_s >= _NEARLY
    ]
    if late:
        worst = max(worker.lease_s or 0.0 for worker in late)
        yield (
            f"{_begun(late)} last renewed a lease {worst:.1f} s ago, which is due every second; "
            f"at {LIVES:.0f} s others take the tasks. Look at its machine's load and the network."
        )


def _unknown(queue: QueueView) -> Iterator[str]:
    kinds = [kind for kind in queue.dead_recent if kind.reason == Reason.UNKNOWN_TYPE]
    if kinds:
        kinds.sort(key=lambda kind: -kind.count)
        count = sum(kind.count for kind in kinds)
        if len(kinds) == 1:
            of = f"of the unknown type {kinds[0].type}"
        else:
            named = [f"{kind.type} {kind.count:,}" for kind in kinds[:_NAMED]]
            rest = [f"{len(kinds) - _NAMED} more"] if len(kinds) > _NAMED else []
            of = f"of {len(kinds)} unknown types ({', '.join(named + rest)})"
        tasks = "task" if count == 1 else "tasks"
        yield (
            f"{queue.name} got {_least(queue)}{count:,} {tasks} {of} {_when(kinds)}: stop who "
            "pushes them, or start a worker that has that handler; then `dead purge` or `dead "
            f"requeue` with `--all --reason {Reason.UNKNOWN_TYPE} --queue {queue.name}`."
        )


def _buried(queue: QueueView) -> Iterator[str]:
    kinds = [kind for kind in queue.dead_recent if kind.reason != Reason.UNKNOWN_TYPE]
    if kinds:
        count = sum(kind.count for kind in kinds)
        newest = min(kinds, key=lambda kind: kind.newest_s)
        letters = "dead letter" if count == 1 else "dead letters"
        what = " ".join(filter(None, (newest.reason, newest.type)))
        yield (
            f"{queue.name} got {_least(queue)}{count:,} {letters} {_when(kinds)} ({what}): "
            f"`dead list --queue {queue.name}` says why; then `dead requeue` or `dead purge`."
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
        yield f"This machine's clock is {_off(clock_s)} the server's: ages here are wrong by that."
    off = [worker for worker in workers if abs(worker.clock_s or 0.0) >= _OFF]
    if off:
        worst = max(off, key=lambda worker: abs(worker.clock_s or 0.0))
        others = f" ({len(off) - 1} more are off)" if len(off) > 1 else ""
        how = _off(worst.clock_s or 0.0)
        yield f"The clock of {_named([worst])} is {how} the server's{others}: {_DATED}."


def _off(seconds: float) -> str:
    return f"{age(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"


def _task(task: TaskView) -> str:
    return f"Task {task.task_id} ({task.type})"


def _begun(workers: Sequence[WorkerView]) -> str:
    named = _named(workers)
    return named[0].upper() + named[1:]


def _serving(queue: QueueView, workers: Sequence[WorkerView]) -> list[WorkerView]:
    return [worker for worker in workers if queue.name in worker.queues]


def _tasks(count: int, verb: str) -> str:
    return f"1 task {verb}s" if count == 1 else f"{count:,} tasks {verb}"


def _for(queue: QueueView) -> str:
    return "" if queue.oldest_s is None else f", the next for {age(queue.oldest_s)}"


def _least(queue: QueueView) -> str:
    return "at least " if queue.dead_more else ""


def _when(kinds: Sequence[DeadView]) -> str:
    newest = age(min(kind.newest_s for kind in kinds))
    since = age(max(kind.oldest_s for kind in kinds))
    return f"{newest} ago" if since == newest else f"in the last {since}, the newest {newest} ago"


def _named(workers: Sequence[WorkerView], *, placed: bool = True) -> str:
    """Name the first workers; of a single one say where it runs, too."""
    names = ", ".join(worker.worker_id for worker in workers[:_NAMED])
    more = len(workers) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    only = workers[0]
    place = f" (process {only.pid} on {only.host})" if only.pid and only.host else ""
    word = "worker" if len(workers) == 1 else "workers"
    return f"{word} {names}{rest}{place if placed and len(workers) == 1 else ''}"
