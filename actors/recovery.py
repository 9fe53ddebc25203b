"""What becomes of a dead holder's tasks: a plain function, from bodies to recoveries (I7)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from actors.answers import Subject, rejection
from actors.broker import Recovery
from actors.surroundings import Surroundings
from messages import MalformedTaskError, Reason, decode_task, rewrite_task

DEATHS_OF_A_POISON_PILL: Final = 3
"""Workers that may die of a task before it is put away."""


def plan_recovery(
    raws: Sequence[bytes], begun: int, worker_id: str, surroundings: Surroundings
) -> list[Recovery]:
    """Decide what becomes of a dead holder's tasks.

    Args:
        raws: its inflight list, oldest first.
        begun: how many of the first could have begun; each of them counts a death.
        worker_id: who recovers them.
        surroundings: for the time of the answers and the nonces of changed bodies.
    """
    now = surroundings.now()
    return [
        _counted(raw, worker_id, now, surroundings.token())
        if position < begun
        else Recovery(raw, requeue=raw)
        for position, raw in enumerate(raws)
    ]


def _counted(raw: bytes, worker_id: str, now: datetime, nonce: str) -> Recovery:
    try:
        task = decode_task(raw)
    except MalformedTaskError as error:
        # It can't carry a death, so it could kill for ever.
        bury = rejection(
            Subject(raw, malformed=error), Reason.MALFORMED, str(error), worker_id, now
        )
        return Recovery(raw, bury=bury)
    deaths = task.deaths + 1
    if deaths < DEATHS_OF_A_POISON_PILL:
        return Recovery(raw, requeue=rewrite_task(raw, nonce=nonce, deaths=deaths))
    why = f"{deaths} workers have died while they were running it"
    bury = rejection(
        Subject(raw, task=task), Reason.POISON_PILL, why, worker_id, now, deaths=deaths
    )
    return Recovery(raw, bury=bury)
