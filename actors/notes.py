"""What a run notes of itself: how far it is, and the state from which a later run goes on.

Progress is a value that the handler leaves here and the `Reporter` looks at; nothing is sent. A
state is stored at the server before `save` returns, and only while the task is this worker's: who
has lost it can't write over what the next run saves.
"""

from collections.abc import Awaitable, Generator
from threading import get_ident
from typing import Final

import anyio
from anyio.from_thread import run as run_on_loop
from anyio.lowlevel import EventLoopToken, current_token
from attrs import define, field, frozen
from loguru import logger

from actors.broker import Session, UnreachableError
from messages import Delivery, decode_state

MAX_STATE_BYTES: Final = 64 * 1024
"""Bytes of a saved state: it travels to the server each time it is saved."""

_MOST: Final = 2**53
"""The largest number that JSON keeps exactly in every language."""

_LOST_PAUSE: Final = 0.05
"""Seconds to wait after a lost reply."""


class TaskLostError(Exception):
    """A state wasn't saved: the task is no longer this run's.

    Its worker lost it to another one, or the run is over: its time was up and its thread was given
    up. Whatever the run does from here on counts for nothing.

    Attributes:
        task_id: the task.
    """

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"the state of task {task_id} wasn't saved: this run of it is over, and the task "
            "belongs to another one; let this exception end the handler"
        )
        self.task_id = task_id


class StateTooLargeError(ValueError):
    """A state has more bytes than may be saved.

    Attributes:
        size: how many bytes it has.
    """

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the saved state has {size} bytes, the most is {MAX_STATE_BYTES}; save what tells "
            "where to go on, and keep the rest elsewhere"
        )
        self.size = size


class Done(Awaitable[None]):
    """Something to await that is over already."""

    def __await__(self) -> Generator[None, None, None]:
        """Return at once."""
        yield from ()


DONE: Final = Done()


@define(eq=False)
class Notes:
    """Notes that nobody else reads: those of a context that a test makes.

    Attributes:
        state: the JSON that an earlier run has saved, or None.
        progress: how much is done and how much there is to do, if the handler has said so.
        kept: the JSON that was saved last.
    """

    state: bytes | None = None
    progress: tuple[float, float | None] | None = None
    kept: bytes | None = None

    def save(self, state: bytes) -> Awaitable[None]:
        """Keep a state."""
        self.kept = state
        return DONE


@frozen(eq=False)
class Loop:
    """The event loop, as its other threads find it.

    Attributes:
        token: names it.
        thread: the thread that it runs in.
    """

    token: EventLoopToken = field(factory=current_token)
    thread: int = field(factory=get_ident)


@define(eq=False)
class RunNotes(Notes):
    """The notes of a run on a worker.

    Attributes:
        delivery: the task.
        session: where states are kept.
        loop: where the session is.
    """

    delivery: Delivery = field(kw_only=True)
    session: Session = field(kw_only=True)
    loop: Loop = field(kw_only=True)
    _number: int = field(default=0, init=False)
    _sending: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)
    _turn: anyio.Lock | None = field(default=None, init=False)

    @property
    def number(self) -> int:
        """The number of the newest state that this run has saved, or may have; 0 if none."""
        return self._number or int(self._sending)

    def close(self) -> None:
        """Save nothing any more: the run is over."""
        self._closed = True

    async def read(self) -> None:
        """Read the state that an earlier run has saved; waits for a server that is out of reach.

        A cancellation leaves it unread.

        Raises:
            RefusedError: the server refuses to tell.
        """
        while True:
            try:
                saved = await self.session.saved(self.delivery.queue, self.delivery.task.id)
            except UnreachableError:
                await anyio.sleep(_LOST_PAUSE)
                continue
            if saved is not None:
                self._number, self.state = saved[0], self._sound(saved[1])
            return

    def _sound(self, state: bytes) -> bytes | None:
        """Return a state that can be read; somebody else may have written there."""
        try:
            decode_state(state)
        except ValueError as error:
            task_id = self.delivery.task.id
            logger.warning("Task {} begins anew: its saved state is no JSON: {}", task_id, error)
            return None
        return state

    def save(self, state: bytes) -> Awaitable[None]:
        """Save a state: on the event loop when what is returned is awaited, elsewhere at once.

        Raises:
            TaskLostError: elsewhere; the task is no longer this run's.
            RefusedError: elsewhere; the server refuses it.
        """
        if get_ident() == self.loop.thread:
            return self._save(state)
        run_on_loop(self._save_shielded, state, token=self.loop.token)
        return DONE

    async def _save(self, state: bytes) -> None:
        """Save a state; a cancellation leaves it or the one before.

        It is sent again after a lost reply, since the same state may be stored twice. Saves take
        turns, so that an older one never comes after a newer one.
        """
        self._turn = self._turn or anyio.Lock()
        async with self._turn:
            number = await self._send(state)
        if not number:
            raise TaskLostError(self.delivery.task.id)
        self._number = number
        self._sending = False

    async def _save_shielded(self, state: bytes) -> None:
        """Save for a thread, which nobody cancels; it ends with the run, if not before."""
        with anyio.CancelScope(shield=True):
            await self._save(state)

    async def _send(self, state: bytes) -> int:
        delivery = self.delivery
        while not self._closed:
            # From here on the server may have it, whatever we hear.
            self._sending = True
            try:
                return await self.session.save(
                    delivery.queue, delivery.raw, delivery.task.id, state
                )
            except UnreachableError:
                await anyio.sleep(_LOST_PAUSE)
        return 0


def checked(name: str, value: object) -> float:
    """Return a number of a handler's progress.

    Raises:
        TypeError: it is no number.
        ValueError: it is no number from 0 to 2**53.
    """
    expected = f"expected a number from 0 to {_MOST}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"progress: {name} is of the type {type(value).__name__}, {expected}")
    if not 0 <= value <= _MOST:
        raise ValueError(f"progress: {name} is {value!r}, {expected}")
    return value
