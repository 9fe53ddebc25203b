"""A task, as any producer writes it, with the optional fields that the pool adds."""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

MAX_ID_LENGTH: Final = 512
"""Characters of a task's id. An id becomes part of a key, so it can't be a document."""

MAX_TYPE_LENGTH: Final = 256
"""Characters of a task's type."""

TaskId = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
TaskType = Annotated[str, Meta(min_length=1, max_length=MAX_TYPE_LENGTH)]
Attempt = Annotated[int, Meta(ge=1, le=1_000_000)]
Deaths = Annotated[int, Meta(ge=0, le=1_000_000)]
Saves = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]


class PastError(Struct, frozen=True):
    """Why an earlier attempt of a task failed.

    Attributes:
        attempt: its number.
        error: the cause in one sentence.
        error_type: the name of the class of what the handler raised.
        worker_id: who ran it.
        time: when it failed, UTC.
    """

    attempt: int
    error: str
    error_type: str = ""
    worker_id: str = ""
    time: datetime | None = None


class Task(Struct, frozen=True):
    """One piece of work.

    Attributes:
        id: chosen by the producer; the answer's key is made of it.
        type: says which handler runs it.
        payload: the handler's input, a JSON object still in its bytes (I8).
        created_at: when the producer made it, UTC.
        attempt: the number of the run that this body stands for; the first is 1.
        deaths: how many workers have died while they may have been running it.
        max_attempts: overrides the handler's number of attempts.
        timeout: overrides the handler's time-out, in seconds.
        not_before: not to be started earlier, UTC.
        expires_at: not to be started later, UTC.
        traceparent: the producer's span context, W3C form.
        tracestate: what goes with it, W3C form.
        first_run: the span context of its first run, in the form of `traceparent`; later attempts
            link to it.
        errors: why earlier attempts failed, oldest first; the last ten of them.
        saved: the number of the newest state that was saved for it, as far as this body knows; 0 if
            none was.
        nonce: set when the pool re-encodes a body, so that two tasks that look alike stay two.
    """

    id: TaskId
    type: TaskType
    payload: Raw
    created_at: datetime
    attempt: Attempt = 1
    deaths: Deaths = 0
    max_attempts: Attempt | None = None
    timeout: Seconds | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    first_run: str | None = None
    errors: tuple[PastError, ...] = ()
    saved: Saves = 0
    nonce: str | None = None
