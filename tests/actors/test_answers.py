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
    Reason,
    Rejected,
    Released,
    Run,
    Succeeded,
    Undecodable,
    decode_task,
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
RUN = Run(NOW - timedelta(seconds=3), 1.5)
MALFORMED = MalformedTaskError("type", "missing", "a string", "t-1", None)


def ended(outcome: Outcome) -> Settlement:
    ending = settlement(outcome, "w", NOW)
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
    """A failed task gets an answer that says so, and no dead letter."""
    ending = ended(Failed(DELIVERY, RUN, "no disk", "OSError"))

    assert answer(ending)["success"] is False
    assert answer(ending)["result"] == {"error": "no disk", "error_type": "OSError"}
    assert ending.dead is None


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
    assert settlement(Released(DELIVERY), "w", NOW) is None


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
