from datetime import UTC, datetime, timedelta
from math import inf

import msgspec
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from actors import Settled
from messages import Delivery, Failed, Outcome, Reason, Rejected, Retried, Run, Succeeded, Task
from runtime.brain.ollama_meter import measured
from runtime.metrics.redis_calls import RedisCalls
from runtime.metrics.service_meters import OllamaCalls
from runtime.metrics.tallies import DURATIONS, Histogram
from runtime.metrics.task_tally import TaskTally
from runtime.redis.scripts import script

T0 = datetime(2026, 1, 1, tzinfo=UTC)
Q = "brain:test_tasks"


@frozen
class Known:
    """A handler, as far as the tally looks at it."""

    queue: str | None = Q


def delivery(task_type: str = "known", attempt: int = 1, deaths: int = 0) -> Delivery:
    task = Task("id", task_type, msgspec.Raw(b"{}"), T0, attempt=attempt, deaths=deaths)
    return Delivery(task, b"{}", Q, 1, 0.0)


def ran(seconds: float = 0.25) -> Run:
    return Run(T0 + timedelta(seconds=3), seconds, 3.0)


def _is_plain(outcome: Outcome, answer: Settled) -> bool:
    return isinstance(outcome, Succeeded) and answer is Settled.DONE


def tally(*endings: tuple[Outcome, Settled]) -> TaskTally:
    found = TaskTally()
    found.declare([Q], {"known": Known(), "elsewhere": Known("brain:others")})
    plain = [ending for ending in endings if _is_plain(*ending)]
    succeeded = [one for one, _ in plain if isinstance(one, Succeeded)]
    found.settled(Q, succeeded, [ending for ending in endings if ending not in plain])
    return found


@given(st.lists(st.floats(0, 10_000)))
def test_buckets_cover_what_came(values: list[float]) -> None:
    """Each bucket holds the values up to its bound, the last one all; the sum is theirs."""
    histogram = Histogram(DURATIONS)
    for value in values:
        histogram.note(value)
    buckets, total = histogram.cumulated()
    for (name, count), bound in zip(buckets, (*DURATIONS, inf), strict=True):
        assert count == sum(value <= bound for value in values)
        assert float(name) == bound
    assert total == pytest.approx(sum(values))


def test_only_first_runs_tell_how_long_tasks_waited() -> None:
    """A retry's wait is its backoff and one after a death its recovery: neither is queue time."""
    endings: list[tuple[Outcome, Settled]] = [
        (Retried(delivery(), ran(), "", "", 1.0), Settled.DONE),
        (Succeeded(delivery(attempt=2), ran(), b"{}"), Settled.DONE),
        (Succeeded(delivery(deaths=1), ran(), b"{}"), Settled.DONE),
    ]
    found = tally(*endings).types()[Q, "known"]
    assert sum(found.runs.counts) == 3
    assert sum(found.waits.counts) == 1
    assert found.waits.total == 3.0
    assert found.outcomes == {"succeeded": 2, "failed": 0, "retried": 1, "rejected": 0}


def test_what_the_server_said_counts() -> None:
    """A stale answer is stale whatever its run came to; what was refused counts when it is done."""
    failed = Failed(delivery(), ran(), "", "")
    found = tally((failed, Settled.STALE), (failed, Settled.CANCELLED), (failed, Settled.FAILED))
    outcomes = found.types()[Q, "known"].outcomes
    assert outcomes == {"succeeded": 0, "failed": 0, "retried": 0, "rejected": 0} | {
        "stale": 1,
        "cancelled": 1,
    }
    assert sum(found.dead.values()) == 0


def test_types_are_bounded_by_what_is_registered() -> None:
    """A type without a handler is `unknown`; handlers of other queues make no series here."""
    rejected = Rejected(delivery("invented"), None, Reason.UNKNOWN_TYPE, "")
    found = tally((rejected, Settled.DONE))
    assert set(found.types()) == {(Q, "known"), (Q, "unknown")}
    assert found.dead == {(Q, Reason.ATTEMPTS_EXHAUSTED): 0, (Q, Reason.UNKNOWN_TYPE): 1}


def test_calls_bear_their_scripts_names() -> None:
    """A script's call has its name, by digest or by text; a blocking wait isn't measured."""
    calls = RedisCalls()
    calls.answered(("EVALSHA", script("settle").digest, 1), 0.001)
    calls.answered(("EVAL", script("settle").source, 1), 0.001)
    calls.answered(("LRANGE", "key", 0, -1), 0.001)
    calls.answered(("BLMOVE", "a", "b", "LEFT", "RIGHT", "2"), 2.0)
    assert {name: sum(found.counts) for name, found in calls.calls.items()} == {
        "settle": 2,
        "lrange": 1,
    }


def test_requests_to_ollama_end_in_one_of_three_ways() -> None:
    """A request that raises has failed, one that is cancelled was abandoned, others answered."""
    calls = OllamaCalls()
    with measured(calls, "chat"):
        calls.chatted(7, None)
    with pytest.raises(ValueError, match="no"), measured(calls, "chat"):
        raise ValueError("no")
    with pytest.raises(KeyboardInterrupt), measured(calls, "embed"):
        raise KeyboardInterrupt
    samples = [sample for family in calls.collect() for sample in family.samples]
    requests = {
        (sample.labels["request"], sample.labels["outcome"])
        for sample in samples
        if sample.name.endswith("_count")
    }
    assert requests == {("chat", "answered"), ("chat", "failed"), ("embed", "abandoned")}
    tokens = {s.labels["kind"]: s.value for s in samples if s.name.endswith("tokens_total")}
    assert tokens == {"prompt": 7, "reply": 0}
