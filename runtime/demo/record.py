"""What the demonstration has pushed, heard and done."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from runtime.demo.snapshot import Event, Snapshot


@frozen
class Mission:
    """A mission that was delegated: its task, and what it is called."""

    task_id: str
    label: str


@frozen
class Recovery:
    """What became of the missions of a worker that was killed.

    Attributes:
        worker: who was killed.
        missions: how many it held.
        seconds: from the kill until the last of them ran elsewhere.
    """

    worker: str
    missions: int
    seconds: float


@define(eq=False)
class Record:
    """Written by the script and by who hears the answers, read by the reader.

    Attributes:
        clock: seconds that never go back.
        pushed: the tasks, by id, with their types.
        answers: each answer that was published for one of them, in order.
        missions: those that were delegated.
        recovery: what became of the killed worker's missions, once that is known.
        kept: the moment that is made a picture.
    """

    clock: Callable[[], float] = time.monotonic
    pushed: dict[str, str] = field(factory=dict)
    answers: dict[str, list[Mapping[str, Any]]] = field(factory=dict)
    missions: list[Mission] = field(factory=list)
    recovery: Recovery | None = None
    kept: Snapshot | None = None
    _events: list[Event] = field(factory=list)
    _begun: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._begun

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened so far, headlines among it."""
        return tuple(self._events)

    @property
    def headline(self) -> str:
        """What happens now."""
        said = [event.text for event in self._events if event.headline]
        return said[-1] if said else ""

    def beginning(self) -> Snapshot:
        """Return what is to be seen before there is a server to ask."""
        return Snapshot(self.headline, self.elapsed, events=self.events)

    def announce(self, text: str) -> None:
        """Say what happens from now on."""
        self._events.append(Event(self.elapsed, text, headline=True))

    def note(self, text: str) -> None:
        """Note what has happened."""
        self._events.append(Event(self.elapsed, text))

    def hear(self, task_id: str, answer: Mapping[str, Any]) -> None:
        """Note an answer that was published."""
        self.answers.setdefault(task_id, []).append(answer)

    def answered_by(self, worker: str) -> int:
        """Count the answers of a worker that were heard."""
        heard = (answer for several in self.answers.values() for answer in several)
        return sum(answer.get("worker_id") == worker for answer in heard)
