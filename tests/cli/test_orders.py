"""The commands `cancel`, `pause`, `resume` and `task`, in processes of their own."""

import json
from pathlib import Path

from tests.cli.commands import CLUSTER, Queue, Worker, run


def test_a_running_task_is_cancelled(tmp_path: Path, redis_url: str) -> None:
    """`task` tells who has it, `cancel` ends it, and `task` tells that; the worker goes on."""
    with Queue(redis_url) as queue, Worker(tmp_path, REDIS_URL=redis_url) as worker:
        worker.ready()
        task_id = queue.push("nap", {"seconds": 100})
        worker.says(f"Processing task {task_id}")
        found = json.loads(run(tmp_path, "task", task_id, "--json", REDIS_URL=redis_url).stdout)
        assert (found["state"], found["queue"], found["attempt"]) == ("running", CLUSTER, 1)
        done = run(tmp_path, "cancel", task_id, REDIS_URL=redis_url)
        assert (done.returncode, done.stdout) == (0, f"Task {task_id} is cancelled.\n")
        worker.says(f"Task {task_id} was cancelled, its handler is ended")
        assert queue.answered(task_id)["result"]["error_type"] == "Cancelled"
        told = run(tmp_path, "task", task_id, REDIS_URL=redis_url)
        assert (told.returncode, told.stdout) == (0, f"Task {task_id} was cancelled.\n")
        after = queue.push("nap", {"seconds": 0})
        assert queue.answered(after)["success"]
        late = run(tmp_path, "cancel", after, "--json", REDIS_URL=redis_url)
        assert (late.returncode, json.loads(late.stdout)) == (1, {"cancelled": {after: False}})
        assert worker.stop() == 0


def test_a_queue_is_paused_and_resumed(tmp_path: Path, redis_url: str) -> None:
    """Nothing is taken during the pause, and afterwards all goes on."""
    with Queue(redis_url) as queue, Worker(tmp_path, REDIS_URL=redis_url) as worker:
        worker.ready()
        done = run(tmp_path, "pause", CLUSTER, REDIS_URL=redis_url)
        assert (done.returncode, done.stdout) == (0, f"Queue {CLUSTER} is paused.\n")
        worker.says(f"Queue {CLUSTER} is paused")
        task_id = queue.push("nap", {"seconds": 0})
        found = run(tmp_path, "task", task_id, REDIS_URL=redis_url).stdout
        assert found == f"Task {task_id} waits in {CLUSTER}.\n"
        assert queue.ids() == [task_id]
        done = run(tmp_path, "resume", CLUSTER, REDIS_URL=redis_url)
        assert (done.returncode, done.stdout) == (0, f"Queue {CLUSTER} is resumed.\n")
        assert queue.answered(task_id)["success"]
        again = run(tmp_path, "resume", CLUSTER, "--json", REDIS_URL=redis_url)
        assert json.loads(again.stdout) == {"resumed": {CLUSTER: False}}


def test_wrong_use_is_one_sentence(tmp_path: Path, redis_url: str) -> None:
    """Nothing named, or a task that is nowhere."""
    for command, expected in {
        "cancel": "cancel is given nothing, expected the ids of tasks",
        "pause": "pause is given nothing, expected the names of queues",
        "resume": "resume is given nothing, expected the names of queues",
    }.items():
        done = run(tmp_path, command, REDIS_URL=redis_url)
        assert (done.returncode, done.stderr) == (2, f"{expected}\n")
    gone = run(tmp_path, "task", "nobody", REDIS_URL=redis_url)
    assert (gone.returncode, gone.stdout.startswith("Task nobody is nowhere")) == (1, True)
