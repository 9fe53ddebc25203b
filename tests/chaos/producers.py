"""Producers: tasks as any program would write them."""

import json
import random
import uuid
from typing import Any

import redis

from runtime.redis import keys


def body(task_type: str, payload: dict[str, Any], task_id: str | None = None) -> bytes:
    """Return a task's body with the contract's four fields."""
    task = {
        "id": task_id or str(uuid.uuid4()),
        "type": task_type,
        "payload": payload,
        "created_at": "2024-02-17T10:30:00Z",
    }
    return json.dumps(task).encode()


def push(
    client: redis.Redis,
    task_type: str,
    payload: dict[str, Any],
    task_id: str | None = None,
    queue: str = keys.CLUSTER_QUEUE,
) -> str:
    """Push a task and return its id."""
    raw = body(task_type, payload, task_id)
    client.rpush(queue, raw)
    return str(json.loads(raw)["id"])


def push_work(client: redis.Redis, count: int, chance: random.Random) -> list[str]:
    """Push tasks of 20 to 80 ms and return their ids."""
    bodies = [body("work", {"ms": chance.uniform(20, 80)}) for _ in range(count)]
    for at in range(0, count, 500):
        client.rpush(keys.CLUSTER_QUEUE, *bodies[at : at + 500])
    return [json.loads(raw)["id"] for raw in bodies]
