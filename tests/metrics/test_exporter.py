import json
from pathlib import Path

from runtime.metrics import catalogue
from tests.cli.commands import CLUSTER, Queue, Worker, count
from tests.metrics.scrapes import exporter, fetch, scrape
from tests.polling import eventually
from tests.servers import make_valkey

MISSION = "brain:mission_tasks"


def test_the_queues_of_a_real_server(tmp_path: Path, redis_url: str) -> None:
    """Waiting, in flight, delayed, dead, age, paused, workers and slots are what they are."""
    began, go = tmp_path / "began", tmp_path / "go"
    body = {"id": "later", "type": "echo", "payload": {}, "created_at": "2024-02-17T10:30:00Z"}
    with (
        Queue(redis_url) as queue,
        Queue(redis_url, MISSION) as missions,
        exporter(tmp_path, REDIS_URL=redis_url) as url,
        Worker(tmp_path, "--concurrency", "3", REDIS_URL=redis_url).ready() as worker,
    ):
        queue.push("nobody-knows-this")
        for _ in range(5):
            queue.push("until", {"began": str(began), "file": str(go)})
        for _ in range(2):
            missions.push("agent.chat")
        queue.client.zadd(f"{{{MISSION}}}:delayed", {json.dumps(body): 9e15})
        queue.client.set(f"{{{MISSION}}}:paused", "1")
        eventually(lambda: count(began) == 3 and len(queue.bodies()) == 2)
        seen, text = scrape(url), fetch(url)
        go.touch()
        assert worker.stop() == 0

    def of(name: str, queue: str) -> float | None:
        return seen.get_one(f"brain_queue_{name}", queue=queue)

    assert seen.get_one("brain_redis_up") == 1
    assert [of("waiting_tasks", one) for one in (CLUSTER, MISSION)] == [2, 2]
    assert [of("in_flight_tasks", one) for one in (CLUSTER, MISSION)] == [3, 0]
    assert [of("delayed_tasks", one) for one in (CLUSTER, MISSION)] == [0, 1]
    assert [of("dead_letters", one) for one in (CLUSTER, MISSION)] == [1, 0]
    assert [of("dead_letters_added_total", one) for one in (CLUSTER, MISSION)] == [1, 0]
    assert [of("paused", one) for one in (CLUSTER, MISSION)] == [0, 1]
    assert [of("workers", one) for one in (CLUSTER, MISSION)] == [1, 0]
    assert [of("slots", one) for one in (CLUSTER, MISSION)] == [3, 0]
    assert of("oldest_task_age_seconds", MISSION) > 86_400
    known = {metric.name: metric.kind for metric in catalogue.FLEET}
    assert known == dict(
        line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE brain_")
    )


def test_a_worker_that_died_counts_no_more(tmp_path: Path, redis_url: str) -> None:
    """A worker counts for as long as its lease lives; its queue is looked at beyond its end."""
    with exporter(tmp_path, REDIS_URL=redis_url) as url:

        def workers() -> float | None:
            return scrape(url).get_one("brain_queue_workers", queue="own")

        with Queue(redis_url, "own") as queue:
            with Worker(tmp_path, "--queues", "own", REDIS_URL=redis_url).ready():
                # Its first look finds the queue by the worker's heartbeat.
                eventually(lambda: queue.client.keys("brain:worker:*:heartbeat"))
                eventually(lambda: workers() == 1)
            eventually(lambda: workers() == 0)


def test_a_server_that_goes_and_comes(tmp_path: Path) -> None:
    """Without its server the exporter says so and shows no stale figures; then it goes on."""
    with make_valkey() as server:
        url_of_server = server.url
        server.stop()
        with exporter(tmp_path, "--queues", "mine", REDIS_URL=url_of_server) as url:
            seen = scrape(url)
            assert seen.get_one("brain_redis_up") == 0
            assert "brain_queue_waiting_tasks" not in seen.names()
            server.start()
            eventually(lambda: scrape(url).get_one("brain_redis_up") == 1)
            assert scrape(url).get_one("brain_queue_waiting_tasks", queue="mine") == 0
            server.stop()
            seen = scrape(url)
            assert seen.get_one("brain_redis_up") == 0
            assert "brain_queue_waiting_tasks" not in seen.names()
