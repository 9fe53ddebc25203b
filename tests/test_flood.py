"""What a producer may do who means ill: flood a queue with bodies that can't be run."""

import json
from pathlib import Path

from runtime.redis import keys
from tests.cli.commands import CLUSTER, Queue, Worker
from tests.servers import eventually

COUNT = 2_000
KEPT = 500
BAD = {
    "malformed": {"created_at": 5},
    "unknown_type": {"type": "nobody"},
    "invalid_payload": {"payload": {"number": "x"}},
}
"""What is bad about a body, by the reason of its dead letter."""


def test_a_flood_fills_neither_log_nor_server_nor_memory(redis_url: str, tmp_path: Path) -> None:
    """Thousands of bad bodies leave a few lines, bounded dead letters, and a worker of its size."""
    good = {"type": "double", "payload": {"number": 4}, "created_at": "2024-02-17T10:30:00Z"}
    bodies = [
        json.dumps(good | {"id": f"{kind}-{number}"} | bad)
        for kind, bad in BAD.items()
        for number in range(COUNT)
    ]
    arguments = ("--handlers", "tests.flood_handlers:handlers", "--dead-letters-kept", str(KEPT))
    with Queue(redis_url) as queue, Worker(tmp_path, *arguments, REDIS_URL=redis_url) as worker:
        worker.ready()
        before = _memory(worker.pid)
        queue.client.rpush(queue.name, *bodies)
        assert queue.answered(queue.push("double", {"number": 4}))["success"]
        eventually(lambda: queue.client.xlen(keys.dead(CLUSTER)) == KEPT)
        grown = _memory(worker.pid) - before
        assert worker.stop() == 0
        log = worker.log()
    for kind in BAD:
        assert 0 < log.count(f"Dead letter ({kind})") < COUNT / 10
        assert f"Dead letters ({kind}): " in log
    assert grown < 64 * 2**20


def _memory(pid: int) -> int:
    """Return the bytes that a process keeps in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
