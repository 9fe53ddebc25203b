import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from attrs import evolve

import runtime
from messages import decode_task
from runtime import TaskQueue
from runtime.errors import (
    ConfigurationError,
    InvalidTaskError,
    PoolError,
    PushUncertainError,
    QueueClosedError,
    RequestRefusedError,
    ResultTimeoutError,
    ServerUnreachableError,
    UnreadableResultError,
)
from runtime.lazy_session import Sources
from runtime.outgoing import Entry, batches
from runtime.redis import keys
from tests.relay import Relay, relay
from tests.servers import Valkey, eventually_async, free_port, make_valkey

pytestmark = pytest.mark.anyio

Q = keys.CLUSTER_QUEUE
PATIENCE = 60


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(redis_url: str, valkey_server: Valkey) -> Iterator[redis.Redis]:
    """A client to look into an empty server."""
    del redis_url
    with valkey_server.client() as client:
        yield client


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[TaskQueue]:
    async with TaskQueue(redis_url) as it:
        yield it


@pytest.fixture
async def cutter(redis_url: str, valkey_server: Valkey) -> AsyncIterator[Relay]:
    """A relay before an empty server."""
    del redis_url
    async with relay(valkey_server.socket) as it:
        yield it


def answer(server: redis.Redis, task_id: str, **more: object) -> None:
    """Play the worker: store a result, then publish it."""
    body = store(server, task_id, **more)
    server.publish(keys.result(task_id), body)
    server.publish(keys.RESULTS_CHANNEL, body)


def store(server: redis.Redis, task_id: str, **more: object) -> bytes:
    body = json.dumps({"task_id": task_id, "success": True, "result": {}} | more).encode()
    server.set(keys.result(task_id), body, ex=3600)
    return body


def subscribers(server: redis.Redis, task_id: str) -> int:
    return int(server.pubsub_numsub(keys.result(task_id))[0][1])


def looks(server: redis.Redis) -> int:
    """Return how often a client has looked for results since the statistics were reset."""
    stats = server.info("commandstats")
    return int(stats["cmdstat_mget"]["calls"]) if "cmdstat_mget" in stats else 0


async def waiting(queue: TaskQueue, server: redis.Redis, task_id: str) -> asyncio.Task[Any]:
    """Return a task that waits for a result, once the server knows of it."""
    task = asyncio.create_task(queue.get_task_result(task_id, timeout=PATIENCE))
    await eventually_async(lambda: task.done() or subscribers(server, task_id), what="subscribed")
    return task


# Pushing


async def test_contract(
    redis_url: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract's producer snippet runs as written, with REDIS_URL from the environment."""
    queue = TaskQueue()
    monkeypatch.setenv("REDIS_URL", redis_url)
    await queue.connect()
    task_id = await queue.push_task("spawn_agent", {"cluster_id": "test"})
    assert await queue.get_queue_length() == 1
    body = json.loads(server.lindex("brain:cluster_tasks", 0))
    answer(server, task_id)
    result = await queue.get_task_result(task_id, timeout=10)
    assert result["success"] is True
    await queue.close()
    assert list(body) == ["id", "type", "payload", "created_at"]
    assert body["id"] == task_id == str(uuid.UUID(task_id, version=4))
    assert (body["type"], body["payload"]) == ("spawn_agent", {"cluster_id": "test"})
    assert body["created_at"].endswith("Z")


async def test_connects_by_itself(redis_url: str, server: redis.Redis) -> None:
    """Many first calls at a time connect once, and a closed queue connects anew."""
    queue = TaskQueue(redis_url)
    assert "connected=False" in repr(queue)
    await asyncio.gather(*(queue.push_task("a", {}) for _ in range(50)))
    session = queue._session
    await queue.connect()
    assert queue._session is session
    await queue.close()
    await queue.close()
    assert await queue.get_queue_length() == 50
    await queue.close()
    assert server.llen(Q) == 50


async def test_given_names(queue: TaskQueue, server: redis.Redis) -> None:
    """A task goes where it is sent, under the id that it was given, at the injected time."""
    assert await queue.push_task("a", {}, queue=keys.MISSION_QUEUE, task_id="t-1") == "t-1"
    assert json.loads(server.lindex(keys.MISSION_QUEUE, 0))["id"] == "t-1"
    assert await queue.get_queue_length(keys.MISSION_QUEUE) == 1
    queue._sources = evolve(
        Sources(), now=lambda: datetime(2024, 2, 17, 10, 30, tzinfo=UTC), new_id=lambda: "t-2"
    )
    assert await queue.push_task("a", {"é": [1.5, None, True]}) == "t-2"
    raw = server.lindex(Q, 0)
    assert b'"created_at":"2024-02-17T10:30:00Z"' in raw
    assert json.loads(raw)["payload"] == {"é": [1.5, None, True]}
    decode_task(raw)


async def test_push_many(queue: TaskQueue, server: redis.Redis) -> None:
    """Thousands of tasks arrive in order, in a few commands, under the ids returned."""
    server.config_resetstat()
    ids = await queue.push_many(("a", {"n": n}) for n in range(2_500))
    bodies = [json.loads(raw) for raw in server.lrange(Q, 0, -1)]
    assert [body["payload"]["n"] for body in bodies] == list(range(2_500))
    assert [body["id"] for body in bodies] == ids
    assert len(set(ids)) == 2_500
    assert server.info("commandstats")["cmdstat_rpush"]["calls"] == 3
    assert await queue.push_many([]) == []


def test_batches() -> None:
    """A batch holds at most 1,000 tasks and 8 MiB, and one task at least."""
    small = [Entry(str(n), b"x") for n in range(2_001)]
    assert [len(batch) for batch in batches(small)] == [1_000, 1_000, 1]
    assert [entry for batch in batches(small) for entry in batch] == small
    mib = b"x" * 1024 * 1024
    assert [len(batch) for batch in batches([Entry("a", mib)] * 17)] == [8, 8, 1]
    assert [len(batch) for batch in batches([Entry("a", mib * 9)] * 2)] == [1, 1]
    assert list(batches([])) == []


CIRCLE: dict[str, object] = {}
CIRCLE["me"] = CIRCLE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"payload": {"x": float("nan")}}, "payload is no JSON"),
        ({"payload": {"x": [float("-inf")]}}, "payload is no JSON"),
        ({"payload": {"x": "\ud800"}}, "half of a character"),
        ({"payload": {"x": {1, 2}}}, "set"),
        ({"payload": {"x": b"bytes"}}, "bytes"),
        ({"payload": CIRCLE}, "payload is no JSON"),
        ({"payload": ["a"]}, "list"),
        ({"payload": None}, "NoneType"),
        ({"payload": {"x": "y" * 1024 * 1024}}, "at most 1048576 bytes"),
        ({"type": ""}, "type is 0 characters long"),
        ({"type": 1}, "of the type int"),
        ({"type": "x" * 257}, "257 characters long"),
        ({"task_id": ""}, "id is 0 characters long"),
        ({"task_id": "x" * 5000}, "5000 characters long"),
        ({"task_id": "\udcff"}, "broken Unicode"),
        ({"queue": ""}, "queue is 0 characters long"),
    ],
)
async def test_invalid_tasks(
    queue: TaskQueue, server: redis.Redis, arguments: dict[str, Any], words: str
) -> None:
    """What can't be a task is refused in one sentence, before anything is sent."""
    with pytest.raises(InvalidTaskError) as caught:
        await queue.push_task(**({"type": "a", "payload": {}} | arguments))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.dbsize() == 0


async def test_one_invalid_of_many(queue: TaskQueue, server: redis.Redis) -> None:
    """One task that can't be sent keeps all others of the call from being sent."""
    with pytest.raises(InvalidTaskError):
        await queue.push_many([("a", {})] * 3_000 + [("", {})])
    assert server.dbsize() == 0


# Failing


async def test_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL anywhere, the error names REDIS_URL."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(ConfigurationError, match="REDIS_URL is not set, expected"):
        await TaskQueue().push_task("a", {})


async def test_no_server() -> None:
    """A push to a server that isn't there says that it can't be reached, and nothing of doubt."""
    queue = TaskQueue(f"redis://:s3cret@127.0.0.1:{free_port()}")
    for call in (queue.connect(), queue.push_task("a", {}), queue.get_task_result("t", 5)):
        with pytest.raises(ServerUnreachableError, match="connection refused") as caught:
            await call
        assert isinstance(caught.value, ConnectionError)
    assert "s3cret" not in f"{caught.value} {caught.value!r} {queue!r}"


async def test_lost_reply(cutter: Relay, server: redis.Redis) -> None:
    """A push whose reply is lost is in doubt, is never sent again, and the next one works."""
    async with TaskQueue(f"redis://127.0.0.1:{cutter.port}") as queue:
        await queue.push_task("a", {})
        cutter.cut_after = b"RPUSH"
        with pytest.raises(PushUncertainError, match="Nobody can tell whether task t-1") as caught:
            await queue.push_task("a", {}, task_id="t-1")
        assert (caught.value.task_id, caught.value.queue) == ("t-1", Q)
        cutter.cut_after, cutter.cut_before = None, b"RPUSH"
        with pytest.raises(PushUncertainError):
            await queue.push_task("a", {}, task_id="t-2")
        cutter.cut_before = None
        await queue.push_task("a", {}, task_id="t-3")
    ids = [json.loads(raw)["id"] for raw in server.lrange(Q, 0, -1)]
    assert ids[1:] == ["t-1", "t-3"]


async def test_cut_between_batches(cutter: Relay, server: redis.Redis) -> None:
    """A cut in the middle of many says what is queued, and what is in doubt."""
    async with TaskQueue(f"redis://127.0.0.1:{cutter.port}") as queue:
        cutter.cut_before = b'"the-cut"'
        tasks = [("a", {}) for _ in range(1_500)] + [("a", {"x": "the-cut"})] + [("a", {})] * 999
        with pytest.raises(PushUncertainError) as caught:
            await queue.push_many(tasks)
    assert [json.loads(raw)["id"] for raw in server.lrange(Q, 0, -1)] == list(caught.value.queued)
    assert (len(caught.value.queued), len(caught.value.task_ids)) == (1_000, 1_000)


async def test_silent_server(redis_url: str, valkey_server: Valkey) -> None:
    """A push that isn't answered in time is in doubt."""
    async with TaskQueue(redis_url, timeout=0.3) as queue:
        valkey_server.pause()
        with pytest.raises(PushUncertainError, match="in time"):
            await queue.push_task("a", {})
        valkey_server.resume()


async def test_restarted_server() -> None:
    """Pushes while the server is down and after its restart take a new connection: no doubt."""
    with make_valkey() as server:
        async with TaskQueue(server.url) as queue:
            await queue.push_task("a", {})
            await asyncio.to_thread(server.kill)
            with pytest.raises(ServerUnreachableError, match="connection refused"):
                await queue.push_task("a", {})
            await asyncio.to_thread(server.start)
            await queue.push_task("a", {})
            assert await queue.get_queue_length() == 1


async def test_refused_push(queue: TaskQueue, server: redis.Redis) -> None:
    """What the server refuses isn't queued, for sure, and isn't in doubt."""
    server.set(Q, "x")
    with pytest.raises(RequestRefusedError, match="refused to queue tasks on brain:cluster_tasks"):
        await queue.push_task("a", {})
    with pytest.raises(RequestRefusedError, match="wrong kind"):
        await queue.get_queue_length()
    server.delete(Q)
    server.config_set("maxmemory", 1)
    with pytest.raises(RequestRefusedError, match="it is full"):
        await queue.push_task("a", {})


async def test_cancelled_push(redis_url: str, valkey_server: Valkey) -> None:
    """A push obeys its cancellation at once, and the queue goes on working."""
    async with TaskQueue(redis_url) as queue:
        valkey_server.pause()
        push = asyncio.create_task(queue.push_task("a", {}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        push.cancel()
        with pytest.raises(asyncio.CancelledError):
            await push
        valkey_server.resume()
        await queue.push_task("a", {})


async def test_cancelled_pushes_keep_the_connections(queue: TaskQueue, server: redis.Redis) -> None:
    """However many calls are cancelled at whatever point, as many can be made as before."""
    for turns in range(60):
        pushes = [asyncio.create_task(queue.push_task("a", {})) for _ in range(12)]
        for _ in range(turns % 20):
            await asyncio.sleep(0)
        for push in pushes:
            push.cancel()
        await asyncio.gather(*pushes, return_exceptions=True)
    assert len(await asyncio.gather(*(queue.push_task("a", {}) for _ in range(50)))) == 50
    assert await queue.get_queue_length() == server.llen(Q)
    assert queue._session is not None
    assert len(queue._session.links._idle) <= 10


async def test_rights(server: redis.Redis, redis_url: str) -> None:
    """Wrong logins are told at connect; a producer needs no more rights than what it does."""
    server.execute_command("ACL", "SETUSER", "bob", "on", ">p", f"~{Q}", "+rpush")
    bob = TaskQueue(redis_url.replace("//", "//bob:p@"))
    await bob.push_task("a", {})
    with pytest.raises(RequestRefusedError, match="access rules"):
        await bob.get_queue_length()
    with pytest.raises(RequestRefusedError, match="access rules"):
        await bob.get_task_result("t", timeout=PATIENCE)
    await bob.close()
    with pytest.raises(ServerUnreachableError, match="refuses the user name or the password"):
        await TaskQueue(redis_url.replace("//", "//bob:wr0ng@")).connect()


# Awaiting results


@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_before_and_after(
    over: str, redis_url: str, server: redis.Redis, valkey_server: Valkey
) -> None:
    """A waiter gets its answer whether it came before or after it began to wait."""
    async with TaskQueue(redis_url if over == "tcp" else valkey_server.unix_url) as queue:
        answer(server, "early", n=1)
        assert (await queue.get_task_result("early", timeout=PATIENCE))["n"] == 1
        late = await waiting(queue, server, "late")
        answer(server, "late", n=2)
        assert (await late)["n"] == 2
        assert (await queue.get_task_result("late"))["n"] == 2


async def test_own_answer_only(queue: TaskQueue, server: redis.Redis) -> None:
    """Each waiter hears of its own task alone, and all waiters for one task get its answer."""
    tasks = [await waiting(queue, server, task_id) for task_id in ("a", "b", "a", "c")]
    answer(server, "b")
    assert (await tasks[1])["task_id"] == "b"
    assert not any(tasks[n].done() for n in (0, 2, 3))
    answer(server, "a")
    assert [(await tasks[n])["task_id"] for n in (0, 2)] == ["a", "a"]
    assert not tasks[3].done()
    answer(server, "c")
    assert (await tasks[3])["task_id"] == "c"


async def test_second_waiter_looks(queue: TaskQueue, server: redis.Redis) -> None:
    """A second waiter for a task looks for itself: the message may have come just before it."""
    server.config_resetstat()
    first = await waiting(queue, server, "t")
    await eventually_async(lambda: looks(server) == 1, what="the first has looked")
    store(server, "t")
    assert (await queue.get_task_result("t", timeout=PATIENCE))["task_id"] == "t"
    assert (await first)["task_id"] == "t"


async def test_no_polling(queue: TaskQueue, server: redis.Redis) -> None:
    """A waiter looks once when it begins and once when its message comes, and at nothing else."""
    server.config_resetstat()
    task = await waiting(queue, server, "t")
    await eventually_async(lambda: looks(server) == 1, what="the first has looked")
    other = await waiting(queue, server, "u")
    await eventually_async(lambda: looks(server) == 2, what="the second has looked")
    for n in range(100):
        answer(server, f"other-{n}")
    answer(server, "u")
    await other
    answer(server, "t")
    await task
    assert looks(server) == 4
    assert "cmdstat_get" not in server.info("commandstats")


async def test_other_database(queue: TaskQueue, server: redis.Redis, valkey_server: Valkey) -> None:
    """Channels span the databases of a server; an answer in another one isn't ours."""
    task = await waiting(queue, server, "t")
    with redis.Redis(unix_socket_path=str(valkey_server.socket), db=5) as elsewhere:
        answer(elsewhere, "t", n=5)
    answer(server, "u")
    await queue.get_task_result("u", timeout=PATIENCE)
    assert not task.done()
    answer(server, "t", n=0)
    assert (await task)["n"] == 0


async def test_a_thousand_waiters(queue: TaskQueue, server: redis.Redis) -> None:
    """A thousand waiters share one connection, and all get their own answer."""
    server.config_resetstat()
    ids = [f"t{n}" for n in range(1_000)]
    tasks = [asyncio.create_task(queue.get_task_result(i, timeout=PATIENCE)) for i in ids]
    await eventually_async(lambda: len(server.pubsub_channels()) == 1_000, what="all subscribed")
    assert len(server.client_list(_type="pubsub")) == 1
    assert server.info("commandstats")["cmdstat_subscribe"]["calls"] < 20
    for task_id in reversed(ids):
        await asyncio.to_thread(answer, server, task_id)
    assert [result["task_id"] for result in await asyncio.gather(*tasks)] == ids
    await eventually_async(lambda: not server.pubsub_channels(), what="all unsubscribed")


async def test_timeout(queue: TaskQueue, server: redis.Redis) -> None:
    """Past its time-out a waiter gets a TimeoutError and leaves no subscription behind."""
    with pytest.raises(TimeoutError, match=r"Task t has no result after 0\.05 s") as caught:
        await queue.get_task_result("t", timeout=0.05)
    assert isinstance(caught.value, ResultTimeoutError)
    assert isinstance(caught.value, PoolError)
    await eventually_async(lambda: not subscribers(server, "t"), what="unsubscribed")


async def test_look_once(queue: TaskQueue, server: redis.Redis) -> None:
    """A time-out of 0 looks once and subscribes to nothing."""
    with pytest.raises(TimeoutError):
        await queue.get_task_result("t", timeout=0)
    store(server, "t")
    assert (await queue.get_task_result("t", timeout=0))["success"] is True
    assert server.client_list(_type="pubsub") == []
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="expected seconds"):
            await queue.get_task_result("t", timeout=wrong)


async def test_cancelled_waiter(queue: TaskQueue, server: redis.Redis) -> None:
    """A cancelled waiter leaves nothing behind, and the other for its task goes on."""
    tasks = [await waiting(queue, server, "t") for _ in range(2)]
    lone = await waiting(queue, server, "u")
    for task in (tasks[0], lone):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await eventually_async(lambda: not subscribers(server, "u"), what="unsubscribed")
    assert subscribers(server, "t") == 1
    answer(server, "t")
    await tasks[1]
    await eventually_async(lambda: not server.pubsub_channels(), what="unsubscribed")
    assert queue._session is not None
    assert not queue._session.waiters._waiting


async def test_again_at_once(queue: TaskQueue, server: redis.Redis) -> None:
    """Waiters that leave and come back in the same turn get their answer all the same."""
    for n in range(30):
        task_id = f"t{n % 3}"
        first = asyncio.create_task(queue.get_task_result(task_id, timeout=PATIENCE))
        for _ in range(n):
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(queue.get_task_result(task_id, timeout=PATIENCE))
        await asyncio.gather(first, return_exceptions=True)
        answer(server, task_id)
        assert (await second)["task_id"] == task_id
        server.delete(keys.result(task_id))


async def test_dropped_connection(queue: TaskQueue, server: redis.Redis) -> None:
    """An answer that comes in the very moment in which the connection is cut isn't missed."""
    tasks = [await waiting(queue, server, f"t{n}") for n in range(5)]
    with server.pipeline(transaction=True) as together:
        together.client_kill_filter(_type="pubsub")
        for n in range(5):
            store(together, f"t{n}")
        together.execute()
    assert [(await task)["task_id"] for task in tasks] == [f"t{n}" for n in range(5)]


async def test_restart_while_waiting() -> None:
    """Waiters sit out a restart of the server, and those that come meanwhile too."""
    with make_valkey(appendonly=True) as server:
        async with TaskQueue(server.url) as queue:
            with server.client() as client:
                first = await waiting(queue, client, "first")
            server.kill()
            await eventually_async(lambda: queue._session.waiters.trouble, what="noticed")
            second = asyncio.create_task(queue.get_task_result("second", timeout=PATIENCE))
            with pytest.raises(ResultTimeoutError, match="out of reach: connection refused"):
                await queue.get_task_result("third", timeout=0.2)
            await asyncio.to_thread(server.start)
            with server.client() as client:
                for task_id in ("first", "second"):
                    answer(client, task_id)
            assert (await first)["task_id"] == "first"
            assert (await second)["task_id"] == "second"
            assert queue._session.waiters.trouble is None


async def test_silent_connection(cutter: Relay, server: redis.Redis) -> None:
    """A connection that is cut without a word is noticed, and replaced."""
    async with TaskQueue(f"redis://127.0.0.1:{cutter.port}", timeout=0.3) as queue:
        task = await waiting(queue, server, "t")
        cutter.fall_silent()
        store(server, "t")
        assert (await task)["task_id"] == "t"


async def test_rights_taken_away(server: redis.Redis, redis_url: str) -> None:
    """Who waits when the login stops being valid gets an error, not an endless wait."""
    server.execute_command("ACL", "SETUSER", "bob", "on", ">p", "~*", "&*", "+@all")
    async with TaskQueue(redis_url.replace("//", "//bob:p@")) as queue:
        task = await waiting(queue, server, "t")
        server.execute_command("ACL", "DELUSER", "bob")
        with pytest.raises(RequestRefusedError, match="refuses the user name"):
            await task


@pytest.mark.parametrize("body", [b"[1]", b"not json", b"\xff", b"[" * 5000])
async def test_unreadable_result(queue: TaskQueue, server: redis.Redis, body: bytes) -> None:
    """What is no JSON object under a result's key is named, with its key."""
    server.set(keys.result("t"), body)
    for timeout in (0, PATIENCE):
        with pytest.raises(UnreadableResultError, match="brain:task:t:result"):
            await queue.get_task_result("t", timeout=timeout)


async def test_close_ends_waiters(redis_url: str, server: redis.Redis) -> None:
    """Closing tells who waits, ends the reader, and leaves no connection on the server."""
    before = len(server.client_list())
    queue = TaskQueue(redis_url)
    await queue.connect()
    tasks = [await waiting(queue, server, task_id) for task_id in ("t", "u")]
    await queue.close()
    for task in tasks:
        with pytest.raises(QueueClosedError):
            await task
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "brain-result-reader"]
    await eventually_async(lambda: len(server.client_list()) == before, what="disconnected")


async def test_crashed_reader(queue: TaskQueue, server: redis.Redis) -> None:
    """A bug in the reader reaches those who wait; the next waiter gets a new reader."""
    task = await waiting(queue, server, "t")
    assert queue._session is not None
    waiters = queue._session.waiters
    whole = waiters._fetch

    async def broken(names: object) -> list[bytes | None]:
        raise LookupError(names)

    waiters._fetch = broken
    answer(server, "t")
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert caught.group_contains(LookupError)
    waiters._fetch = whole
    assert (await queue.get_task_result("t", timeout=PATIENCE))["task_id"] == "t"


def test_left_open(redis_url: str) -> None:
    """A program that ends without closing its queue prints nothing about it."""
    program = """
import asyncio
from runtime import TaskQueue

async def main():
    queue = TaskQueue()
    task_id = await queue.push_task("a", {})
    asyncio.create_task(queue.get_task_result(task_id))
    try:
        await queue.get_task_result(task_id, timeout=0.1)
    except TimeoutError:
        print("no result")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(runtime.__file__).parents[1],
        env=os.environ | {"REDIS_URL": redis_url},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no result\n", "")


def test_import_is_light() -> None:
    """Importing the package imports nothing heavy; its names are found when they are used."""
    program = """
import sys, runtime
assert not {"redis", "sqlalchemy", "msgspec", "asyncio", "loguru"} & set(sys.modules)
assert "TaskQueue" in dir(runtime)
assert not hasattr(runtime, "Unknown")
runtime.TaskQueue
assert "redis" in sys.modules and "sqlalchemy" not in sys.modules
"""
    root = Path(runtime.__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
