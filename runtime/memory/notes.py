"""What runs note of themselves, in memory: saved states and progress."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from runtime.memory.expiring import Expiring, alive


class NotesStore:
    """States by queue and task, and how far tasks are.

    Attributes:
        states: queue → task id → the number and the JSON of its newest state.
        progress: task id → what is known of it, expired ones among them until somebody asks.
    """

    def __init__(self) -> None:
        self.states: defaultdict[str, dict[str, tuple[int, bytes]]] = defaultdict(dict)
        self.progress: dict[str, Expiring] = {}

    def __repr__(self) -> str:
        return f"NotesStore({sum(map(len, self.states.values()))} states)"

    def keep(self, queue: str, task_id: str, state: bytes) -> int:
        """Keep a task's state in place of the one before, and return its number."""
        number, before = self.states[queue].get(task_id, (0, None))
        if state == before:
            return number
        self.states[queue][task_id] = (number + 1, state)
        return number + 1

    def drop(self, queue: str, task_id: str | None) -> None:
        """Forget the state of a task that has ended."""
        if task_id is not None:
            self.states[queue].pop(task_id, None)

    def saved(self, queue: str, task_id: str) -> tuple[int, bytes] | None:
        """Return the number and the state that were saved last for a task."""
        return self.states[queue].get(task_id)

    def numbers(self, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the states of these tasks, of those that have one."""
        states = self.states[queue]
        return {task_id: states[task_id][0] for task_id in task_ids if task_id in states}

    def report(
        self, progress: Mapping[str, bytes], over: Mapping[str, bytes], expires: float, now: float
    ) -> None:
        """Store what is known of running tasks, and remove what was stored of others."""
        for task_id, body in progress.items():
            self.progress[task_id] = Expiring(body, now + expires)
        for task_id, body in over.items():
            if self.progress_of(task_id, now) == body:
                del self.progress[task_id]

    def progress_of(self, task_id: str, now: float) -> bytes | None:
        """Return what is known of a running task, unless it has expired."""
        return alive(self.progress, task_id, now)
