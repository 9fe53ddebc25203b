"""What a run in a handler process notes of itself, on the process's side of the line.

The worker keeps it, as for every other run: a save waits for the worker's word that it is kept,
and progress is looked at from time to time, so that saying it costs nothing.
"""

from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import sleep
from typing import Final

from attrs import define, field
from msgspec import Raw

from actors.broker import RefusedError
from actors.notes import DONE, Notes, TaskLostError
from actors.process_wire import Progressed, SaveEnded, Saving

_LOOK: Final = 0.1
"""Seconds between looks at how far a handler is."""

Tell = Callable[[Progressed | Saving], None]


@define(eq=False)
class ProcessNotes(Notes):
    """The notes of one call.

    Attributes:
        call: its number.
        task_id: the task.
        tell: sends a message to the worker.
    """

    call: int = field(kw_only=True)
    task_id: str = field(kw_only=True)
    tell: Tell = field(kw_only=True)
    _turn: Lock = field(factory=Lock, init=False)
    _ends: SimpleQueue[SaveEnded] = field(factory=SimpleQueue, init=False)
    _closed: bool = field(default=False, init=False)

    def save(self, state: bytes) -> Awaitable[None]:
        """Save a state, and return when it is kept."""
        with self._turn:
            if self._closed:
                raise TaskLostError(self.task_id)
            self.tell(Saving(self.call, Raw(state)))
            end = self._ends.get()
        if end.lost:
            raise TaskLostError(self.task_id)
        if end.refused:
            raise RefusedError(end.refused)
        return DONE

    def answered(self, end: SaveEnded) -> None:
        """Hear from the worker what became of a save; called by another thread."""
        if end.number == self.call:
            self._ends.put(end)

    def close(self) -> None:
        """Save nothing any more: the call is over. A thread that still waits is told so."""
        self._closed = True
        self._ends.put(SaveEnded(self.call, lost=True))


class ProgressSender:
    """Tells the worker how far the handler is, while one runs.

    Args:
        tell: sends a message to the worker.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._notes: ProcessNotes | None = None
        self._runs = Event()
        self._thread: Thread | None = None

    def begin(self, notes: ProcessNotes) -> None:
        """Look at the notes of a call from now on."""
        self._notes = notes
        if self._thread is None:
            self._thread = Thread(target=self._look, name="progress of the handler", daemon=True)
            self._thread.start()
        self._runs.set()

    def end(self) -> None:
        """Look no more."""
        self._runs.clear()

    def _look(self) -> None:
        told: tuple[float, float | None] | None = None
        while True:
            self._runs.wait()
            notes = self._notes
            progress = notes.progress if notes is not None else None
            # The same numbers of another call are another value.
            if notes is not None and progress is not None and progress is not told:
                told = progress
                self._tell(Progressed(notes.call, *progress))
            sleep(_LOOK)
