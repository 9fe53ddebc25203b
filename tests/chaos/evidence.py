"""What proves that nothing was lost and nothing answered twice.

Three witnesses that don't depend on each other: the handlers' journal, a subscriber on the channel
of results, and the server's append-only file.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import redis
from attrs import frozen
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.redis import keys
from tests.polling import eventually


@frozen
class Run:
    """A line of the journal: a process has begun or ended a run of a task's handler."""

    what: str
    pid: int
    task_id: str


class Journal:
    """The starts and ends of handlers, as they wrote them down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def runs(self, what: str = "begin") -> list[Run]:
        """Return all starts, or all ends."""
        lines = [line.split(" ", 2) for line in self.path.read_text().splitlines()]
        return [Run(kind, int(pid), task) for kind, pid, task in lines if kind == what]

    def begun(self) -> Counter[str]:
        """Return how often each task was begun."""
        return Counter(run.task_id for run in self.runs())

    def wait_begun(self, task_id: str, times: int = 1) -> list[Run]:
        """Wait until a task was begun so often, and return these runs."""
        eventually(lambda: self.begun()[task_id] >= times, what=f"{task_id} begun {times} times")
        return [run for run in self.runs() if run.task_id == task_id]


class Answers:
    """A subscriber that counts what is published for each task."""

    def __init__(self, url: str) -> None:
        self.bodies: dict[str, list[bytes]] = {}
        self._url = url
        self._ready = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="answers")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30), "the subscriber got no connection"
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def __len__(self) -> int:
        return len(self.bodies)

    def repeated(self) -> dict[str, int]:
        """Return the tasks that were answered more than once."""
        return {task: len(bodies) for task, bodies in self.bodies.items() if len(bodies) > 1}

    def _listen(self) -> None:
        while not self._ending.is_set():
            client = redis.Redis.from_url(self._url, retry=Retry(NoBackoff(), 0))
            try:
                with client.pubsub() as channel:
                    channel.subscribe(keys.RESULTS_CHANNEL)
                    self._take_all(channel)
            except (redis.RedisError, OSError):
                # The server is being restarted: a new connection hears what comes after.
                self._ending.wait(0.02)
            finally:
                client.close()

    def _take_all(self, channel: Any) -> None:
        while not self._ending.is_set():
            message = channel.get_message(timeout=0.1)
            if message is None:
                continue
            if message["type"] == "subscribe":
                self._ready.set()
            elif message["type"] == "message":
                body = message["data"]
                self.bodies.setdefault(json.loads(body)["task_id"], []).append(body)


def stored_answers(directory: Path) -> Counter[str]:
    """Return how often each task's result was stored, from a server's append-only file."""
    prefix, _, suffix = keys.result("*").partition("*")
    counts: Counter[str] = Counter()
    for file in sorted((directory / "appendonlydir").glob("*.incr.aof")):
        for words in _commands(file.read_bytes()):
            if len(words) > 1 and words[0].upper() == b"SET":
                key = words[1].decode()
                if key.startswith(prefix) and key.endswith(suffix):
                    counts[key.removeprefix(prefix).removesuffix(suffix)] += 1
    return counts


def pushed_tasks(directory: Path, queue: str) -> Counter[str]:
    """Return how often each task was pushed to the tail of a queue, from the same file."""
    counts: Counter[str] = Counter()
    for file in sorted((directory / "appendonlydir").glob("*.incr.aof")):
        for words in _commands(file.read_bytes()):
            if words[0].upper() == b"RPUSH" and words[1].decode() == queue:
                counts.update(json.loads(body)["id"] for body in words[2:])
    return counts


def _commands(log: bytes) -> Iterator[list[bytes]]:
    """Split an append-only file into its commands."""
    at = 0
    while at < len(log):
        end = log.index(b"\r\n", at)
        assert log[at : at + 1] == b"*", "a command begins with the number of its words"
        count, at = int(log[at + 1 : end]), end + 2
        words = []
        for _ in range(count):
            end = log.index(b"\r\n", at)
            size = int(log[at + 1 : end])
            words.append(log[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
        yield words


def answered(client: redis.Redis, ids: list[str]) -> int:
    """Return how many of these tasks have a result."""
    found = 0
    for at in range(0, len(ids), 500):
        found += client.exists(*(keys.result(task) for task in ids[at : at + 500]))
    return found


def result_of(client: redis.Redis, task_id: str) -> dict[str, Any]:
    """Return a task's result, or {} if it has none."""
    body = client.get(keys.result(task_id))
    return json.loads(body) if body else {}


def assert_nothing_is_left(client: redis.Redis, queue: str = keys.CLUSTER_QUEUE) -> None:
    """Check that no task is in the queue, in an inflight list or among the dead letters."""
    dead = client.xrange(keys.dead(queue))
    assert not dead, f"dead letters: {dead[:3]}"
    assert client.llen(queue) == 0
    eventually(lambda: not inflight_keys(client, queue), what="every inflight list is empty")


def inflight_keys(client: redis.Redis, queue: str = keys.CLUSTER_QUEUE) -> list[bytes]:
    """Return the names of the inflight lists that hold something."""
    return list(client.scan_iter(match=keys.inflight(queue, "*"), count=1000))


def assert_answered_once(client: redis.Redis, answers: Answers, ids: list[str]) -> None:
    """Check that each task has one successful result, published once, and nothing is left."""
    assert answered(client, ids) == len(ids)
    for at in range(0, len(ids), 500):
        for body in client.mget([keys.result(task) for task in ids[at : at + 500]]):
            assert json.loads(body)["success"] is True, body
    eventually(lambda: len(answers) >= len(ids), what="every answer is published")
    assert not answers.repeated()
    assert set(answers.bodies) == set(ids)
    assert_nothing_is_left(client)
