"""A worker that fetched ahead doesn't hold on to tasks that turn out to be long."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from attrs import frozen

from runtime.redis import keys
from tests.chaos.evidence import Answers, assert_answered_once, result_of
from tests.chaos.fleet import Fleet
from tests.chaos.producers import body
from tests.servers import eventually


@frozen
class Scale:
    """How many short tasks come before the long ones, and how long these take, in ms."""

    burst: int
    long: float


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(300, 1000), id="short"),
        pytest.param(Scale(5000, 3000), id="soak", marks=pytest.mark.soak),
    ],
)
def test_long_tasks_behind_a_burst_are_shared(
    client: redis.Redis, answers: Answers, fleet: Fleet, scale: Scale
) -> None:
    """Four long tasks behind a burst of short ones run two at a time, two on each worker."""
    fleet.start_many(2, "--concurrency", "1")
    ids = [f"short-{n}" for n in range(scale.burst)] + [f"long-{n}" for n in range(4)]
    bodies = [body("work", {"ms": 0.1}, task) for task in ids[:-4]]
    bodies += [body("work", {"ms": scale.long}, task) for task in ids[-4:]]
    client.rpush(keys.CLUSTER_QUEUE, *bodies)

    eventually(lambda: len(answers) == len(ids), 90, what="every task answered")

    assert_answered_once(client, answers, ids)
    by_worker: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for task in ids[-4:]:
        result = result_of(client, task)
        by_worker[result["worker_id"]].append(_span(result))
    assert sorted(map(len, by_worker.values())) == [2, 2], by_worker
    ours, theirs = (sorted(spans) for spans in by_worker.values())
    for mine, other in zip(ours, theirs, strict=True):
        assert max(mine[0], other[0]) < min(mine[1], other[1]), (ours, theirs)
    fleet.stop()


def _span(result: dict[str, Any]) -> tuple[datetime, datetime]:
    """Return when a task's handler began and ended, as its answer tells."""
    began = datetime.fromisoformat(result["started_at"])
    return began, began + timedelta(milliseconds=result["duration_ms"])
