"""How many tasks come and go: plain functions from heartbeats and backlogs to rates."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from runtime.heartbeats import texts

_MINUTE: Final = 60.0

_LEAST: Final = 10.0
"""Seconds between the looks from which on they tell how a backlog changes."""


def answered_rate(queue: str, beats: Sequence[dict[str, Any]]) -> float | None:
    """Return how many of a queue's tasks its workers answer a second.

    That is each one's last minute before its heartbeat, or its life where that is shorter.

    Args:
        queue: the queue.
        beats: the heartbeats of all living workers.

    Returns:
        The rate; None if no worker that serves the queue tells it.
    """
    rates = [
        rate
        for beat in beats
        if queue in texts(beat.get("queues")) and (rate := _rate(queue, beat)) is not None
    ]
    return sum(rates) if rates else None


def _rate(queue: str, beat: dict[str, Any]) -> float | None:
    minute = beat.get("last_minute")
    if not isinstance(minute, dict):
        return None
    told = minute.get(queue)
    tasks = told.get("tasks") if isinstance(told, dict) else 0
    if not isinstance(tasks, int):
        return None
    try:
        began = datetime.fromisoformat(str(beat.get("started_at")))
        lived = (datetime.fromisoformat(str(beat.get("timestamp"))) - began).total_seconds()
    except (ValueError, TypeError):
        return None
    # One that has just begun says so in its first heartbeat, and nothing of a rate.
    return tasks / min(lived, _MINUTE) if lived >= 1 else None


class Backlogs:
    """What was unanswered at earlier looks, and so how it changes."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque()

    def __repr__(self) -> str:
        return f"Backlogs(looks={len(self._looks)})"

    def growth(self, now: float, backlogs: Mapping[str, int]) -> dict[str, float]:
        """Note a look; return by how many tasks a second each backlog grows.

        It is told of queues that were seen ten seconds ago or longer, over a minute at most.

        Args:
            now: seconds of any clock that only goes forward.
            backlogs: by queue, all that isn't answered.
        """
        self._looks.append((now, dict(backlogs)))
        while now - self._looks[0][0] > _MINUTE:
            self._looks.popleft()
        at, earliest = self._looks[0]
        if now - at < _LEAST:
            return {}
        return {
            queue: (count - earliest[queue]) / (now - at)
            for queue, count in backlogs.items()
            if queue in earliest
        }
