"""How far a task is, read from a real server as producers read it."""

from functools import partial

import anyio
import pytest

from actors import Context, Handlers, Worker
from messages import decode_progress
from runtime import RedisBroker, TaskQueue
from runtime.progress import read_progress
from runtime.redis import keys
from tests.polling import eventually_async
from tests.servers import Valkey

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_running_tasks_progress_can_be_read(redis_url: str, valkey_server: Valkey) -> None:
    """A producer reads where a task runs and how far it is; afterwards there is nothing."""
    handlers = Handlers()
    go_on = anyio.Event()

    @handlers.on("counts")
    async def counts(_: dict[str, object], context: Context) -> None:
        context.progress(1.5, 3)
        await go_on.wait()

    worker = Worker(RedisBroker(redis_url), handlers, queues=["q"], worker_id="w")
    with valkey_server.client() as client:
        async with TaskQueue(redis_url, queue="q") as queue, anyio.create_task_group() as host:
            await host.start(worker.run)
            task_id = await queue.push_task("counts", {})
            call = partial((await queue._open()).ask, "tell how far tasks are")
            await eventually_async(lambda: client.exists(keys.progress(task_id)))
            progress = await read_progress(call, task_id)
            go_on.set()
            await queue.get_task_result(task_id, timeout=10)
            await eventually_async(lambda: not client.exists(keys.progress(task_id)))
            assert await read_progress(call, task_id) is None
            client.set(keys.progress(task_id), b"{}", ex=60)
            assert await read_progress(call, task_id) is None
            await worker.stop()
    assert progress is not None
    assert progress.started_at <= progress.updated_at
    told = (progress.task_id, progress.type, progress.queue, progress.worker_id)
    assert told == (task_id, "counts", "q", "w")
    assert (progress.attempt, progress.done, progress.total) == (1, 1.5, 3)


@pytest.mark.parametrize("raw", [b"", b"x", b"[]", b"\xff", b'{"task_id": 1}', b"[" * 100_000])
def test_what_tells_nothing_is_none(raw: bytes) -> None:
    """Whatever lies under the key, reading it is no error."""
    assert decode_progress(raw) is None
