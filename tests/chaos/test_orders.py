"""Cancelling and pausing while real workers work, die and are replaced."""

import asyncio
import random

import pytest
import redis

from runtime import TaskQueue
from runtime.redis import keys
from tests.chaos.evidence import Answers, Journal, answered, assert_nothing_is_left, result_of
from tests.chaos.fleet import Fleet
from tests.servers import Valkey, eventually

Q = keys.CLUSTER_QUEUE


def test_each_kind_of_running_task_is_cancelled(
    server: Valkey, client: redis.Redis, fleet: Fleet, journal: Journal
) -> None:
    """Async, in a thread, in a process: answered as cancelled, not run to its end, slot freed."""
    fleet.start("--concurrency", "3")

    async def work() -> None:
        async with TaskQueue(server.url) as queue:
            running = [
                await queue.push_task("work", {"ms": 100_000}),
                await queue.push_task("thread", {"seconds": 3}),
                await queue.push_task("crunch", {"seconds": 100}),
            ]
            await asyncio.to_thread(
                eventually, lambda: set(running) <= journal.begun().keys(), 30, what="all run"
            )
            assert [await queue.cancel(task_id) for task_id in running] == [True] * 3
            for task_id in running:
                answer = await queue.get_task_result(task_id, timeout=0)
                assert answer["result"]["error_type"] == "Cancelled"
            # Three at once: each of the slots is free again.
            after = [await queue.push_task("work", {"ms": 1}) for _ in range(3)]
            for task_id in after:
                assert (await queue.get_task_result(task_id, timeout=30))["success"]
            assert journal.begun() == dict.fromkeys([*running, *after], 1)
            for task_id in running:
                assert (await queue.get_task_result(task_id, timeout=0))["worker_id"] == ""

    asyncio.run(work())
    eventually(lambda: not client.exists(keys.CANCELLED), 30, what="all bodies are dropped")
    fleet.stop()
    assert_nothing_is_left(client)


@pytest.mark.parametrize(
    "count", [pytest.param(400, id="short"), pytest.param(5000, id="soak", marks=pytest.mark.soak)]
)
def test_a_cancel_that_races_with_the_end_yields_one_answer(
    server: Valkey, client: redis.Redis, fleet: Fleet, answers: Answers, count: int
) -> None:
    """Waiting, delayed, running or just ended, while workers are killed: one answer to each."""
    chance = random.Random(count)
    fleet.start_many(3, "--concurrency", "4")

    async def work() -> dict[str, bool]:
        async with TaskQueue(server.url) as queue:
            ids = []
            for number in range(count):
                delay = chance.choice((None, None, 0.2, 1.0))
                ids.append(await queue.push_task("work", {"ms": chance.randrange(30)}, delay=delay))
                if number % (count // 4) == count // 8:
                    fleet.replace(fleet.victim(chance), "--concurrency", "4")
            doomed = chance.sample(ids, count // 2)
            return dict.fromkeys(ids, False) | {one: await queue.cancel(one) for one in doomed}

    cancelled = asyncio.run(work())
    assert 0 < sum(cancelled.values()) < count
    eventually(lambda: answered(client, list(cancelled)) == count, 120, what="all are answered")
    eventually(lambda: not client.exists(keys.CANCELLED), 60, what="all bodies are dropped")
    fleet.stop()
    for task_id, was in cancelled.items():
        kind = result_of(client, task_id)["result"].get("error_type")
        assert (kind == "Cancelled") is was, task_id
    eventually(lambda: len(answers) == count, what="every answer is published")
    assert not answers.repeated()
    assert_nothing_is_left(client)


def test_a_pause_under_load_holds_and_ends_in_order(
    server: Valkey, client: redis.Redis, fleet: Fleet, journal: Journal
) -> None:
    """A second after it nothing is taken, what ran has ended, and then all goes on in order."""
    fleet.start("--concurrency", "1")

    async def work() -> list[str]:
        async with TaskQueue(server.url) as queue:
            ids = await queue.push_many([("work", {"ms": 5})] * 2000)
            await asyncio.to_thread(eventually, lambda: len(journal.begun()) > 50)
            await queue.pause(Q)
            return ids

    ids = asyncio.run(work())
    fleet.workers[0].says("is paused")
    eventually(
        lambda: not client.llen(keys.inflight(Q, fleet.holder(fleet.workers[0]) or "")),
        10,
        what="what was held has ended or gone back",
    )
    begun, waiting = journal.begun(), client.llen(Q)
    assert waiting == 2000 - len(begun)
    assert answered(client, ids) == len(begun)
    # It looks at the queue again and again, and takes nothing.
    client.rpush(
        Q, b'{"id":"late","type":"work","payload":{"ms":1},"created_at":"2024-02-17T10:30:00Z"}'
    )
    beats = client.hget(keys.leases(Q), fleet.holder(fleet.workers[0]) or "")
    eventually(lambda: client.hget(keys.leases(Q), fleet.holder(fleet.workers[0]) or "") != beats)
    assert (journal.begun(), client.llen(Q)) == (begun, waiting + 1)
    asyncio.run(_resumed(server))
    eventually(lambda: answered(client, [*ids, "late"]) == 2001, 60, what="all are answered")
    assert [run.task_id for run in journal.runs()] == [*ids, "late"]
    fleet.stop()


async def _resumed(server: Valkey) -> None:
    async with TaskQueue(server.url) as queue:
        assert await queue.resume(Q)
