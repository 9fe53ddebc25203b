"""`--events` of a worker in a process of its own."""

from pathlib import Path

from tests.cli.commands import Queue, Worker
from tests.polling import eventually

STREAM = "brain:events:workers"


def test_events_of_a_worker(tmp_path: Path, redis_url: str) -> None:
    """With --events a worker's whole life lies in the stream, without payloads; else nothing."""
    with Queue(redis_url) as queue:
        with Worker(tmp_path, REDIS_URL=redis_url).ready() as silent:
            queue.answered(queue.push("echo"))
            assert silent.stop() == 0
        assert not queue.client.exists(STREAM)

        with Worker(tmp_path, "--worker-id", "w", REDIS_URL=redis_url, BRAIN_EVENTS="1") as worker:
            worker.ready()
            queue.answered(queue.push("echo", {"word": "s3cret"}))
            eventually(lambda: queue.client.xlen(STREAM) == 3)
            assert worker.stop() == 0
        found = [fields for _, fields in queue.client.xrange(STREAM)]
    assert [fields[b"event"] for fields in found] == [
        *(b"worker_started", b"task_started"),
        *(b"task_succeeded", b"worker_drained"),
    ]
    assert {fields[b"worker_id"] for fields in found} == {b"w"}
    assert "s3cret" not in str(found)
