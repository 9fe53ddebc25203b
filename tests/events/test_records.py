"""What is written of each ending, as plain functions."""

from datetime import UTC, datetime

import pytest

from actors import Settled
from messages import Delivery, Released, Run, Succeeded, decode_task
from runtime.events.records import Writer
from tests.actors.stage import body

NOW = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
RAW = body("t", "x")
DELIVERY = Delivery(decode_task(RAW), RAW, "q", 1, 0.0)
DONE = Succeeded(DELIVERY, Run(NOW, 0.25, 0.0), b"{}")


def test_a_record_is_names_and_texts() -> None:
    """A success names its task, its run and the moment, and nothing of what was returned."""
    (record,) = Writer("w").ended(NOW, DONE, Settled.DONE)
    assert dict(zip(record[::2], record[1::2], strict=True)) == {
        "event": "task_succeeded",
        "time": "2026-01-01T12:00:00.500000Z",
        "worker_id": "w",
        "task_id": "t",
        "type": "x",
        "queue": "q",
        "attempt": "1",
        "duration_ms": "250.0",
    }


@pytest.mark.parametrize("answer", [Settled.STALE, Settled.FAILED])
def test_what_hasnt_ended_here_is_no_event(answer: Settled) -> None:
    """Neither a task that another worker has nor one that the server refused to settle is told."""
    assert list(Writer("w").ended(NOW, DONE, answer)) == []


def test_a_cancellation_beats_the_outcome() -> None:
    """A task that was cancelled while it ended is told as cancelled."""
    (record,) = Writer("w").ended(NOW, DONE, Settled.CANCELLED)
    assert record[1] == "task_cancelled"


def test_what_goes_back_is_no_event() -> None:
    """A task that is given back starts again elsewhere, and that is told then."""
    assert list(Writer("w").ended(NOW, Released(DELIVERY), Settled.DONE)) == []
