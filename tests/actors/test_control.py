from typing import Any

import pytest

from actors import Backoff, Reject, Retry, WorkerSettings


def test_a_reject_says_why() -> None:
    """A reject's text is what its producer is told."""
    assert (Reject("no such cluster").why, str(Reject("no"))) == ("no such cluster", "no")


def test_a_retry_says_why_and_when() -> None:
    """A retry may say after how many seconds, and has a text in any case."""
    assert (Retry("busy", after=5).after, str(Retry("busy", after=5))) == (5, "busy")
    assert Retry().after is None
    assert "another attempt" in str(Retry(after=1))


def test_a_retry_can_be_raised_and_chained() -> None:
    """It is an exception like others: a cause can be given and its traceback is kept."""
    with pytest.raises(Retry, match="busy") as caught:
        raise Retry("busy") from OSError("down")

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__traceback__ is not None


def test_a_backoff_has_the_documented_defaults() -> None:
    """Three attempts, a second that doubles, five minutes at most."""
    assert Backoff() == Backoff(attempts=3, base=1.0, factor=2.0, cap=300.0)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base": 0}, {"factor": 0.5}, {"cap": 0}])
def test_a_backoff_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """A figure out of its range is an error that names it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Backoff(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"grace": -1}, {"cancel_grace": -1}, {"timeout": 0}, {"heartbeat_interval": 0}),
        *({"heartbeat_expires": 0}, {"max_task_bytes": 0}, {"max_result_bytes": 0}),
        *({"horizon": -1}, {"patience": 0}, {"audit_interval": 0}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A figure out of its range is an error that names it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WorkerSettings(**wrong)
