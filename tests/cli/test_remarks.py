"""What `status` calls wrong, what it only notes, and in which order."""

import pytest
from attrs import evolve

from runtime.cli.queue_views import DeadView, HolderView, QueueView
from runtime.cli.remarks import notes, remarks
from runtime.cli.worker_views import HeldView, TaskView, WorkerView

IDLE = QueueView("a", 0, 0, 0, None)
WAITING = evolve(IDLE, waiting=2, oldest_s=1.0)
WORKER = WorkerView("w", ("a",), 2, 0, 9, 0, 1.0, lease_alive=True, lease_s=0.5)
GONE = HolderView("x#1", 3, 12.0)
PLACED = evolve(WORKER, host="h", pid=12)
FLOOD = DeadView("unknown_type", "flood", 200, 3.0, 47.0)
FAILED = DeadView("attempts_exhausted", "x", 1, 60.0, 60.0)
UNKNOWN = (FLOOD, *(evolve(FLOOD, type=name, count=1) for name in "abc"))


def test_a_healthy_pool_has_neither_remarks_nor_notes() -> None:
    """Tasks that wait a little on a queue that is served, and old dead letters, aren't wrong."""
    busy = evolve(WAITING, dead=5, delayed=3, in_flight=1)
    assert remarks([busy], [WORKER], answer_s=0.01, clock_s=1.0) == ()
    assert notes([busy], [WORKER]) == ()


@pytest.mark.parametrize(
    ("queue", "worker", "words"),
    [
        (
            WAITING,
            None,
            (
                "2 tasks wait on a, the next for 1 s, and no worker serves it: "
                "start one with `--queues a`."
            ),
        ),
        (WAITING, evolve(WORKER, queues=("b",)), "and no worker serves it"),
        (
            evolve(IDLE, delayed=1),
            None,
            "1 delayed task is to come to a, and no worker serves it: start one",
        ),
        (evolve(IDLE, holders=(GONE,)), None, "3 tasks of a are held by workers that are gone;"),
        (evolve(IDLE, holders=(GONE,)), WORKER, "others take them over within 5 s"),
        (
            IDLE,
            evolve(PLACED, lease_alive=False, lease_s=12.0),
            (
                "Worker w (process 12 on h) has no renewed lease for 12 s: suspended, cut off "
                "or dead; nobody takes the tasks. `kill -CONT` wakes one"
            ),
        ),
        (IDLE, evolve(WORKER, lease_alive=False, lease_s=None), "Worker w has no lease"),
        (
            IDLE,
            evolve(PLACED, heartbeat_s=50.0, holds=(HeldView("t", "x"),)),
            (
                "Worker w (process 12 on h) lives but has been silent for 50 s: a handler "
                "blocks its event loop; its log says which. It holds t (x): `cancel` that, then"
            ),
        ),
        (IDLE, evolve(WORKER, heartbeat_s=50.0), "its log says which. Cancel that task, then kill"),
        (
            evolve(WAITING, oldest_s=301.0),
            evolve(WORKER, active=2),
            (
                "The next task of a has waited for 5 m 1 s, 1 more behind it; 2 of 2 slots of "
                "worker w are busy: start more workers, or give them more slots."
            ),
        ),
        (evolve(WAITING, oldest_s=301.0), WORKER, "0 of 2 slots of worker w are busy."),
        (
            evolve(WAITING, oldest_s=301.0, paused_s=9.0),
            WORKER,
            "1 more behind it, and the queue is paused: `resume a`.",
        ),
        (
            IDLE,
            evolve(PLACED, lease_s=3.0),
            "Worker w (process 12 on h) last renewed a lease 3.0 s ago",
        ),
        (
            evolve(IDLE, dead=2, dead_recent=(FAILED,)),
            WORKER,
            "a got 1 dead letter 1 m 0 s ago (attempts_exhausted x): `dead list --queue a`",
        ),
        (
            evolve(IDLE, dead=2, dead_recent=(FAILED, evolve(FAILED, type="y", newest_s=9.0))),
            WORKER,
            "a got 2 dead letters in the last 1 m 0 s, the newest 9 s ago (attempts_exhausted y)",
        ),
        (
            evolve(IDLE, dead=200, dead_recent=(FLOOD,)),
            WORKER,
            (
                "a got 200 tasks of the unknown type flood in the last 47 s, the newest 3 s ago: "
                "stop who pushes them, or start a worker that has that handler; then `dead purge` "
                "or `dead requeue` with `--all --reason unknown_type --queue a`."
            ),
        ),
        (
            evolve(IDLE, dead=9_000, dead_recent=UNKNOWN, dead_more=True),
            WORKER,
            "a got at least 203 tasks of 4 unknown types (flood 200, a 1, b 1, 1 more) in",
        ),
        (
            IDLE,
            evolve(WORKER, runs=(TaskView("t", "x", "a", 700.0),)),
            "Task t (x) has run for 11 m 40 s on worker w.",
        ),
        (
            IDLE,
            evolve(PLACED, clock_s=-42.0),
            "The clock of worker w (process 12 on h) is 42 s behind the server's: it dates",
        ),
    ],
)
def test_each_trouble_is_named(queue: QueueView, worker: WorkerView | None, words: str) -> None:
    """Each state of trouble is one sentence that names whom it is about."""
    (said,) = remarks([queue], [worker] if worker else [])
    assert words in said


def test_a_stuck_worker_is_known_by_its_lease() -> None:
    """Who renews a lease and has no heartbeat left is stuck, and its queue isn't unserved."""
    queue = evolve(WAITING, holders=(HolderView("stuck#1", 1, 0.4),))
    (said,) = remarks([queue], [])
    assert "Worker stuck lives but has been silent for more than a minute" in said


def test_the_server_and_our_own_clock_are_looked_at() -> None:
    """A slow server and a clock of this machine that is off are wrong."""
    slow, clock = remarks([], [], answer_s=1.25, clock_s=7.0)
    assert "took 1.2 s" in slow
    assert clock.startswith("This machine's clock is 7 s ahead of the server's: ")


def test_the_worst_comes_first() -> None:
    """What stops all work comes before what stops some, and that before what has failed."""
    served = evolve(IDLE, name="b", dead_recent=(FAILED, FLOOD), holders=(GONE,), oldest_s=999.0)
    ill = evolve(WORKER, queues=("b",), lease_alive=False, lease_s=9.0)
    long = evolve(WORKER, queues=("b",), worker_id="l", runs=(TaskView("t", "x", "b", 700.0),))
    said = remarks([served, WAITING], [ill, long], answer_s=2.0)
    order = (
        "no worker serves",
        "are gone",
        "no renewed",
        "took 2.0 s",
        "has waited",
        "unknown type",
        "dead letter",
    )
    places = [next(n for n, s in enumerate(said) if words in s) for words in (*order, "has run")]
    assert places == [0, 1, 2, 3, 4, 5, 6, 7]


def test_others_take_the_tasks_only_where_there_are_others() -> None:
    """Of a lapsed worker it is said whether any living one serves its queues."""
    lapsed = evolve(WORKER, lease_alive=False, lease_s=9.0)
    (alone,) = remarks([IDLE], [lapsed, evolve(WORKER, worker_id="v", queues=("b",))])
    (among,) = remarks([IDLE], [lapsed, evolve(WORKER, worker_id="v")])
    assert "dead; nobody takes the tasks." in alone
    assert "dead; others take the tasks." in among


def test_a_queue_without_workers_is_told_once() -> None:
    """That its tasks have waited for long is part of what is said of a queue that nobody serves."""
    (said,) = remarks([evolve(WAITING, oldest_s=999.0)], [])
    assert "the next for 16 m 39 s, and no worker serves it" in said


def test_many_workers_are_one_sentence() -> None:
    """A hundred workers of the same trouble are named by three and a number."""
    many = [evolve(WORKER, worker_id=f"w{n}", lease_alive=False, lease_s=9.0) for n in range(100)]
    (said,) = remarks([IDLE], many)
    assert said.startswith("Workers w0, w1, w2 and 97 more have no renewed lease for 9 s")


def test_what_was_ordered_is_noted_and_not_wrong() -> None:
    """A pause, a bound on dead letters and two versions are notes."""
    queue = evolve(IDLE, paused_s=30.0, waiting=3, trimmed=4)
    workers = [evolve(WORKER, version="1"), evolve(WORKER, version="2")]
    assert remarks([queue], workers) == ()
    paused, trimmed, versions = notes([queue], workers)
    assert paused == "a is paused, for 30 s now: 3 tasks wait until `resume a`."
    (paused,) = notes([evolve(IDLE, paused_s=30.0)], workers[:1])
    assert paused == "a is paused, for 30 s now: nothing is taken from it until `resume a`."
    assert "4 dead letters of a have made room" in trimmed
    assert versions == "Workers run 2 versions: 1 (1), 2 (1)."
