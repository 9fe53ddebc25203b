"""What only the in-memory broker has: killing a member, looking inside, a task queue of its own."""

from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus
from trio.testing import MockClock

from actors import Handlers, LeaseLapsedError, Member, UnreachableError, Worker
from actors.settings import MAX_BATCH_BYTES
from messages import Reason
from runtime.errors import InvalidTaskError, ResultTimeoutError
from runtime.memory import MemberKilledError, MemoryBroker, MemoryStore, MemoryTaskQueue

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {}


def member(holder: str) -> Member:
    return Member(holder.partition("#")[0], holder, 1, ("q",))


async def test_a_killed_member_leaves_all_behind() -> None:
    """Its lease and its tasks stay, its session reaches nothing, its block ends with an error."""
    broker = MemoryBroker()
    await broker.push("q", "t", {}, "a")

    async def live() -> None:
        async with broker.join(member("w#1")) as session:
            raws = (await session.take("q", 1)).raws
            broker.kill("w#1")
            with anyio.CancelScope(shield=True), pytest.raises(UnreachableError):
                await session.release("q", raws)
            await anyio.sleep_forever()

    with pytest.raises(MemberKilledError, match="w#1 was killed"):
        await live()
    assert broker.members() == ()
    assert len(broker.store.queue("q").inflight["w#1"]) == 1
    assert set(broker.store.queue("q").leases) == {"w#1"}


async def test_who_waited_longest_is_served_first() -> None:
    """Tasks go to waiting members in the order of their coming, and not to the dead."""
    broker = MemoryBroker()
    got: list[tuple[str, int]] = []

    async def wait(holder: str, task_status: TaskStatus[None]) -> None:
        async with broker.join(member(holder)) as session:
            task_status.started()
            got.append((holder, len(await session.wait(["q"]))))

    async with anyio.create_task_group() as tasks:
        for holder in ("w#1", "w#2"):
            await tasks.start(wait, holder)
            await anyio.wait_all_tasks_blocked()
        await broker.push("q", "t", {}, "a")
        assert broker.length("q") == 0
        await anyio.wait_all_tasks_blocked()
        assert got == [("w#1", 1)]
        await broker.push("q", "t", {}, "b")
    assert got == [("w#1", 1), ("w#2", 1)]


async def test_a_whole_worker_serves_a_memory_queue() -> None:
    """A service's test pushes tasks, awaits answers, and looks at dead letters."""
    handlers = Handlers()

    @handlers.on("double")
    async def double(payload: dict[str, int]) -> int:
        return payload["n"] * 2

    broker = MemoryBroker()
    worker = Worker(broker, handlers, queues=["q"])
    async with MemoryTaskQueue(broker, queue="q") as queue, anyio.create_task_group() as tasks:
        early = await queue.push_task("double", {"n": 2}, task_id="early")
        await tasks.start(worker.run)
        assert (await queue.get_task_result(early, timeout=10))["result"] == {"value": 4}
        ids = await queue.push_many([("double", {"n": n}) for n in range(20)])
        answers = [(await queue.get_task_result(one))["result"]["value"] for one in ids]
        assert answers == [2 * n for n in range(20)]
        bad = await queue.push_task("unknown", {})
        assert not (await broker.answer(bad))["success"]
        assert [one.reason for one in broker.dead_letters("q")] == [Reason.UNKNOWN_TYPE]
        assert await queue.get_queue_length() == 0
        assert broker.store.heartbeats
        await worker.stop()
    assert broker.members() == ()
    assert not broker.store.heartbeats


async def test_a_result_that_does_not_come_times_out() -> None:
    """Waiting is bounded, 0 looks once, and a negative time-out is a mistake."""
    queue = MemoryTaskQueue(MemoryBroker())
    for timeout in (0, 0.01):
        with pytest.raises(ResultTimeoutError, match="Task a has no result after"):
            await queue.get_task_result("a", timeout=timeout)
    with pytest.raises(ValueError, match="timeout is -1"):
        await queue.get_task_result("a", timeout=-1)


async def test_nothing_is_pushed_when_one_cannot_be() -> None:
    """Of many tasks none is queued if one can't be encoded."""
    queue = MemoryTaskQueue(MemoryBroker())
    with pytest.raises(InvalidTaskError):
        await queue.push_many([("t", {}), ("t", {"n": object()})])
    assert await queue.get_queue_length() == 0


def test_answers_heartbeats_and_batch_numbers_expire() -> None:
    """The store forgets after the contract's times, by the clock that it is handed."""
    store = MemoryStore()
    store.beat("w", b"alive", 60, 0)
    assert store.heartbeat("w", 59.9) == b"alive"
    assert store.heartbeat("w", 60) is None
    store.settle("q", "w#1", 5, [], 0)
    assert store.queue("q").settled["w#1"].number == 5
    store.settle("q", "w#1", 1, [], 3599)
    assert store.queue("q").settled["w#1"].number == 5
    store.settle("q", "w#1", 1, [], 3600)
    assert store.queue("q").settled["w#1"].number == 1


def test_a_store_takes_nothing_for_whom_it_does_not_know() -> None:
    """The store refuses as the script does, and stops at the same number of bytes."""
    store = MemoryStore()
    for _ in range(3):
        store.push("q", bytes(MAX_BATCH_BYTES // 2))
    with pytest.raises(LeaseLapsedError):
        store.take("q", "w#1", 1)
    store.renew("q", "w#1", 1, 1, 0)
    assert len(store.take("q", "w#1", 3).raws) == 2
