import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.answers import settlement
from actors.broker import Settlement
from messages import (
    DeadLetter,
    Delivery,
    Failed,
    MalformedTaskError,
    Outcome,
    PastError,
    Postponed,
    Reason,
    Rejected,
    Released,
    Retried,
    Run,
    Succeeded,
    Undecodable,
    decode_task,
    rewrite_task,
)

NOW = datetime(2024, 2, 17, 10, 30, 5, tzinfo=UTC)
RAW = json.dumps(
    {
        "id": "t-1",
        "type": "kind",
        "payload": {},
        "created_at": "2024-02-17T10:30:00Z",
        "attempt": 2,
        "deaths": 1,
    }
).encode()
DELIVERY = Delivery(decode_task(RAW), RAW, "q", 1, 0.0)
RUN = Run(NOW - timedelta(seconds=3), 1.5, 2.0)
MALFORMED = MalformedTaskError("type", "missing", "a string", "t-1", None)


def ended(outcome: Outcome) -> Settlement:
    ending = settlement(outcome, "w", NOW, lambda: "fresh")
    assert ending is not None
    assert ending.raw == outcome.delivery.raw
    return ending


def answer(ending: Settlement) -> dict[str, Any]:
    assert ending.result is not None
    return dict(json.loads(ending.result))


def letter(ending: Settlement) -> DeadLetter:
    assert ending.dead is not None
    return ending.dead


def test_a_success_is_answered_with_its_value_and_its_times() -> None:
    """The answer has the contract's fields, the value in its bytes, and when it ran."""
    ending = ended(Succeeded(DELIVERY, RUN, b'{"a": 1.50}'))

    assert (ending.task_id, ending.dead) == ("t-1", None)
    assert b'{"a": 1.50}' in (ending.result or b"")
    assert answer(ending) == {
        "task_id": "t-1",
        "worker_id": "w",
        "timestamp": "2024-02-17T10:30:05Z",
        "success": True,
        "result": {"a": 1.5},
        "type": "kind",
        "attempt": 2,
        "started_at": "2024-02-17T10:30:02Z",
        "duration_ms": 1500.0,
        "queue_ms": 2000.0,
    }


def test_a_failure_is_answered_with_its_error() -> None:
    """A failed task gets an answer that says so, and a dead letter that tells all of it."""
    past = [{"attempt": 1, "error": "no space", "error_type": "OSError", "worker_id": "v"}]
    raw = rewrite_task(RAW, nonce="n", errors=past)
    delivery = Delivery(decode_task(raw), raw, "q", 1, 0.0)
    ending = ended(Failed(delivery, RUN, "no disk", "OSError", "Traceback …"))

    assert answer(ending)["success"] is False
    assert answer(ending)["result"] == {"error": "no disk", "error_type": "OSError"}
    dead = letter(ending)
    assert (dead.raw, dead.reason, dead.error) == (raw, Reason.ATTEMPTS_EXHAUSTED, "no disk")
    assert (dead.attempts, dead.error_type, dead.traceback) == (2, "OSError", "Traceback …")
    assert dead.errors == (PastError(1, "no space", "OSError", "v"),)


def test_a_retried_task_is_delayed_as_its_next_attempt() -> None:
    """The body counts the attempt, tells what went wrong, and keeps all else in its bytes (I8)."""
    ending = ended(Retried(DELIVERY, RUN, "no disk", "OSError", 1.5))

    assert (ending.result, ending.dead) == (None, None)
    assert ending.delay is not None
    assert (ending.delay.after, ending.delay.at) == (1.5, None)
    task = decode_task(ending.delay.body)
    assert (task.attempt, task.deaths, task.nonce) == (3, 1, "fresh")
    assert task.errors == (PastError(2, "no disk", "OSError", "w", NOW),)
    assert (task.id, bytes(task.payload)) == ("t-1", b"{}")


def test_the_errors_that_travel_are_bounded() -> None:
    """A task that fails for ever doesn't grow: the last ten errors, 500 characters each."""
    raw = RAW
    for _ in range(30):
        delivery = Delivery(decode_task(raw), raw, "q", 1, 0.0)
        delay = ended(Retried(delivery, RUN, "\ud800" + "x" * 9_000, "OSError", 0)).delay
        assert delay is not None
        raw = delay.body

    task = decode_task(raw)
    assert task.attempt == 32
    assert [error.attempt for error in task.errors] == list(range(22, 32))
    assert all(len(error.error) == 500 for error in task.errors)


def test_a_task_that_came_early_waits_for_its_time() -> None:
    """It is delayed until then by the server's clock, nothing counted."""
    ending = ended(Postponed(DELIVERY, NOW))

    assert ending.delay is not None
    assert ending.delay.at == NOW
    task = decode_task(ending.delay.body)
    assert (task.attempt, task.deaths, task.not_before, task.nonce) == (2, 1, None, "fresh")


def test_a_reject_is_a_dead_letter_and_an_answer() -> None:
    """A rejected task is put away with all that an operator needs, and its producer is told."""
    ending = ended(Rejected(DELIVERY, RUN, Reason.REJECTED, "no such cluster"))

    assert letter(ending) == DeadLetter(
        raw=RAW,
        reason=Reason.REJECTED,
        error="no such cluster",
        worker_id="w",
        time=NOW,
        task_id="t-1",
        task_type="kind",
        attempts=2,
        deaths=1,
    )
    assert answer(ending)["result"] == {"error": "no such cluster", "error_type": "rejected"}


def test_a_task_that_never_ran_counts_no_attempt() -> None:
    """A task that couldn't be begun has no times, and no attempt in its dead letter."""
    ending = ended(Rejected(DELIVERY, None, Reason.UNKNOWN_TYPE, "unknown"))

    assert letter(ending).attempts == 0
    assert answer(ending)["started_at"] is None
    assert answer(ending)["duration_ms"] is None


def test_a_bad_body_with_an_id_is_answered() -> None:
    """Where an id can be read, the producer of a body that is no task learns of it."""
    body = Undecodable(MALFORMED, b"{}", "q")
    ending = ended(Rejected(body, None, Reason.MALFORMED, str(MALFORMED)))

    assert (ending.task_id, answer(ending)["success"]) == ("t-1", False)
    assert answer(ending)["result"]["error"] == "field `type` is missing, expected a string"
    assert letter(ending).raw == b"{}"


def test_a_bad_body_without_an_id_is_put_away() -> None:
    """Where no id can be read there is nobody to answer; the body is kept."""
    error = MalformedTaskError("body", "empty", "a JSON object")
    ending = ended(Rejected(Undecodable(error, b"", "q"), None, Reason.MALFORMED, str(error)))

    assert (ending.task_id, ending.result) == (None, None)
    assert letter(ending).task_id is None


def test_a_released_task_is_not_ended() -> None:
    """A task that goes back to its queue is answered by whoever runs it next."""
    assert settlement(Released(DELIVERY), "w", NOW, lambda: "fresh") is None


@settings(deadline=None)
@given(st.text(st.characters(), max_size=50), st.sampled_from([1, 1_000]))
def test_any_text_of_an_error_can_be_answered(text: str, times: int) -> None:
    """Half characters and documents in an exception's text don't stop the answer (I2)."""
    for outcome in (
        Failed(DELIVERY, RUN, text * times, "ValueError"),
        Rejected(DELIVERY, RUN, Reason.REJECTED, text * times),
    ):
        ending = ended(outcome)
        assert len(answer(ending)["result"]["error"]) <= 4_000
        if ending.dead is not None:
            assert isinstance(ending.dead.error.encode(), bytes)


@pytest.mark.parametrize("error", ["\ud800", "x" * 1_000_000])
def test_a_dead_letter_holds_what_can_be_written(error: str) -> None:
    """What goes to the stream is text of bounded length in UTF-8."""
    dead = letter(ended(Rejected(DELIVERY, RUN, Reason.REJECTED, error)))

    assert len(dead.error.encode()) < 16_000
