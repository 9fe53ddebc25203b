"""What becomes of a dead holder's tasks: a plain function, from bodies to recoveries (I7)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from actors.answers import Subject, rejection, saves_noted
from actors.broker import Recovery
from actors.surroundings import Surroundings
from messages import MalformedTaskError, Reason, Task, decode_task, rewrite_task
from messages.redaction import redact

DEATHS_OF_A_POISON_PILL: Final = 3
"""Workers that may die of a task before it is put away."""


def is_suspect(task: Task) -> bool:
    """Say whether one more death makes a task a poison pill, so that it may only run alone."""
    return task.deaths >= DEATHS_OF_A_POISON_PILL - 1


def plan_recovery(
    raws: Sequence[bytes],
    begun: int,
    worker_id: str,
    surroundings: Surroundings,
    saved: Mapping[str, int] = {},
) -> list[Recovery]:
    """Decide what becomes of a dead holder's tasks.

    A suspect is only run alone, with nothing else held beside it. So one that isn't the only task
    of the list hadn't begun: it isn't put away for what a neighbour has done.

    A task that has saved a state which its body doesn't know gets on: its earlier deaths count no
    more, and it is no poison pill.

    Args:
        raws: its inflight list, oldest first.
        begun: how many of the first could have begun; each of them counts a death.
        worker_id: who recovers them.
        surroundings: for the time of the answers and the nonces of changed bodies.
        saved: task id → the number of its newest state, of those that have one.
    """
    now = surroundings.now()
    alone = len(raws) == 1
    return [
        _getting_on(raw, saved, surroundings, deaths=int(position < begun))
        or (
            _counted(raw, worker_id, now, surroundings.token(), alone=alone)
            if position < begun
            else Recovery(raw, requeue=raw)
        )
        for position, raw in enumerate(raws)
    ]


def _getting_on(
    raw: bytes, saved: Mapping[str, int], surroundings: Surroundings, *, deaths: int
) -> Recovery | None:
    """Send a task again that has saved something new; return None if it hasn't."""
    if not saved or (task := readable(raw)) is None:
        return None
    changes = saves_noted(task, saved.get(task.id, 0), deaths)
    if not changes:
        return None
    return Recovery(raw, requeue=rewrite_task(raw, nonce=surroundings.token(), **changes))


def readable(raw: bytes) -> Task | None:
    """Return the task that a body stands for, if it does for one."""
    try:
        return decode_task(raw)
    except MalformedTaskError:
        return None


def _counted(raw: bytes, worker_id: str, now: datetime, nonce: str, *, alone: bool) -> Recovery:
    try:
        task = decode_task(raw)
    except MalformedTaskError as error:
        # It can't carry a death, so it could kill for ever.
        why = redact(str(error))
        bury = rejection(Subject(raw, malformed=error), Reason.MALFORMED, why, worker_id, now)
        return Recovery(raw, bury=bury)
    if is_suspect(task) and not alone:
        return Recovery(raw, requeue=raw)
    deaths = task.deaths + 1
    if deaths < DEATHS_OF_A_POISON_PILL:
        return Recovery(raw, requeue=rewrite_task(raw, nonce=nonce, deaths=deaths))
    why = f"{deaths} workers have died while they were running it"
    bury = rejection(
        Subject(raw, task=task), Reason.POISON_PILL, why, worker_id, now, deaths=deaths
    )
    return Recovery(raw, bury=bury)
