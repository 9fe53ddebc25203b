"""`TaskQueue.cancel`, `get_task`, `pause` and `resume` on a real server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from messages import DeadLetter, Progress, Reason, encode_progress
from runtime import (
    TaskAnswered,
    TaskCancelled,
    TaskDead,
    TaskDelayed,
    TaskQueue,
    TaskRunning,
    TaskState,
    TaskUnknown,
    TaskWaiting,
)
from runtime.errors import InvalidTaskError, RequestRefusedError, ServerUnreachableError
from runtime.redis import keys
from tests.messages.test_values import NOON
from tests.servers import Valkey

T = TypeVar("T")
Q = keys.CLUSTER_QUEUE


@pytest.fixture
def server(valkey_server: Valkey) -> Valkey:
    """A server with nothing in it."""
    valkey_server.reset()
    return valkey_server


def ask(server: Valkey, work: Callable[[TaskQueue], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with TaskQueue(server.url) as queue:
            return await work(queue)

    return asyncio.run(asked())


def where(server: Valkey, task_id: str, **options: Any) -> TaskState:
    return ask(server, lambda queue: queue.get_task(task_id, **options))


def body(task_id: str, **more: Any) -> bytes:
    fields = {"id": task_id, "type": "t", "payload": {}, "created_at": "2024-02-17T10:30:00Z"}
    return json.dumps(fields | more).encode()


def test_who_waits_for_a_cancelled_task_learns_of_it(server: Valkey) -> None:
    """The answer reaches a producer that waits already, and says that it was cancelled."""

    async def work(queue: TaskQueue) -> dict[str, Any]:
        task_id = await queue.push_task("t", {})
        waiting = asyncio.create_task(queue.get_task_result(task_id, timeout=30))
        await asyncio.sleep(0)
        assert await queue.cancel(task_id)
        assert await queue.cancel(task_id), "a second time is no error"
        return await waiting

    answer = ask(server, work)
    assert (answer["success"], answer["worker_id"]) == (False, "")
    assert answer["result"] == {"error": "the task was cancelled", "error_type": "Cancelled"}
    assert {"task_id", "timestamp"} < answer.keys()


def test_an_answer_stands(server: Valkey) -> None:
    """A task that was answered isn't cancelled, and the caller is told."""
    with server.client() as client:
        client.set(keys.result("t1"), b'{"success":true}')
        assert not ask(server, lambda queue: queue.cancel("t1"))
        assert client.get(keys.result("t1")) == b'{"success":true}'
        assert not client.exists(keys.CANCELLED)


def test_each_place_has_its_class(server: Valkey) -> None:
    """Waiting, delayed, running, dead, cancelled, answered, nowhere."""
    with server.client() as client:
        client.rpush(Q, body("waits", attempt=2))
        past = [{"attempt": 1, "error": "no luck"}]
        client.zadd(keys.delayed(Q), {body("delayed", attempt=2, errors=past): 4_000_000_000_000})
        client.zadd(keys.holders(Q), {"worker-1#x": 1})
        client.rpush(keys.inflight(Q, "worker-1#x"), body("runs"))
        told = Progress("runs", "t", Q, "worker-1", NOON, 1, NOON, 3, 10)
        client.set(keys.progress("runs"), encode_progress(told))
        letter = DeadLetter(body("dead"), Reason.REJECTED, "no", "w", NOON, "dead").fields()
        pairs = dict(zip(letter[::2], letter[1::2], strict=True))
        entry = client.xadd(keys.dead(Q), {"task": body("dead"), **pairs})
        client.set(keys.result("answered"), b'{"success":true,"result":{"x":1}}')
        client.set(
            keys.result("failed"),
            b'{"success":false,"result":{"error_type":"Cancelled"},"worker_id":"w"}',
        )
    ask(server, lambda queue: queue.cancel("gone"))

    assert where(server, "waits") == TaskWaiting("waits", Q, 2)
    delayed = where(server, "delayed")
    assert isinstance(delayed, TaskDelayed)
    assert (delayed.queue, delayed.until.year) == (Q, 2096)
    assert (delayed.attempt, delayed.error) == (2, "no luck")
    running = where(server, "runs")
    assert isinstance(running, TaskRunning)
    assert (running.worker_id, running.since) == (
        "worker-1",
        NOON,
    )
    assert (running.done, running.total) == (3, 10)
    dead = where(server, "dead")
    assert isinstance(dead, TaskDead)
    assert (dead.entry, dead.reason, dead.error) == (entry.decode(), "rejected", "no")
    assert where(server, "gone") == TaskCancelled("gone")
    answered = where(server, "answered")
    assert isinstance(answered, TaskAnswered)
    assert answered.result["result"] == {"x": 1}
    assert isinstance(where(server, "failed"), TaskAnswered), "a handler's own class of that name"
    assert where(server, "never") == TaskUnknown("never")


def test_a_failure_with_a_dead_letter_is_dead(server: Valkey) -> None:
    """A failed task has an answer and a dead letter: the letter tells more."""
    with server.client() as client:
        client.xadd(keys.dead(Q), {"task": body("t1"), "task_id": "t1", "reason": "expired"})
        client.set(keys.result("t1"), b'{"success":false,"result":{}}')
    found = where(server, "t1")
    assert isinstance(found, TaskDead)
    assert found.reason == "expired"


def test_a_task_is_found_among_thousands(server: Valkey) -> None:
    """At the head, at the tail and in between, whatever other bodies say of its id."""
    with server.client() as client:
        liar = body("other", payload={"id": "t-77"})
        bodies = [body(f"t-{number}") for number in range(2_345)]
        client.rpush(Q, *bodies[:77], liar, *bodies[78:])
        client.rpush("elsewhere", bodies[77])
    for task_id in ("t-0", "t-2344", "t-1234"):
        assert where(server, task_id) == TaskWaiting(task_id, Q, 1)
    assert where(server, "t-77") == TaskUnknown("t-77")
    assert where(server, "t-77", queue="elsewhere") == TaskWaiting("t-77", "elsewhere", 1)


@pytest.mark.parametrize("task_id", ["naïve", 'a"b', "a/b", "日本", " "])
def test_an_id_is_found_however_it_is_written(server: Valkey, task_id: str) -> None:
    """Producers may escape characters or not."""
    plain = json.dumps({"id": task_id}, ensure_ascii=False)
    rest = ',"type":"t","payload":{},"created_at":"2024-02-17T10:30:00Z"}'
    for written in (plain, json.dumps({"id": task_id}).replace("/", "\\/")):
        with server.client() as client:
            client.delete(Q)
            client.rpush(Q, written[:-1] + rest)
        assert where(server, task_id) == TaskWaiting(task_id, Q, 1)


def test_a_paused_queue_says_so_once(server: Valkey) -> None:
    """Pausing twice and resuming twice changes something once."""

    async def work(queue: TaskQueue) -> list[bool]:
        return [
            await queue.pause(Q),
            await queue.pause(Q),
            await queue.resume(Q),
            await queue.resume(Q),
        ]

    assert ask(server, work) == [True, False, True, False]


def test_what_goes_wrong_is_told(server: Valkey) -> None:
    """An id that is none, a key of the wrong type, a server that isn't there: one sentence each."""
    with pytest.raises(InvalidTaskError, match="id is 0 characters long"):
        ask(server, lambda queue: queue.cancel(""))
    with server.client() as client:
        client.set(keys.CANCELLED, "text")
    with pytest.raises(RequestRefusedError, match=r"refused to cancel task t1: .*WRONGTYPE"):
        ask(server, lambda queue: queue.cancel("t1"))
    with pytest.raises(RequestRefusedError, match="refused to tell results"):
        where(server, "t1")

    async def nowhere() -> None:
        await TaskQueue("redis://127.0.0.1:1").cancel("t1")

    with pytest.raises(ServerUnreachableError):
        asyncio.run(nowhere())
