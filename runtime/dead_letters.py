"""Dead letters: read, sent again, or thrown away, on behalf of an operator."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from attrs import field, frozen

from messages import MessageError, Reason, decode_task, renewed_task
from runtime.producer_session import Session
from runtime.redis import keys

_PAGE: Final = 200
"""Entries that are read at once: 1 MiB each at most, 200 MiB if all of them are that large."""

_BATCH: Final = 500
"""Entries that are sent again or thrown away at once."""

_BATCH_BYTES: Final = 8 * 2**20


@frozen
class Letter:
    """A dead letter, as it was found; what can't be read of it is empty.

    Attributes:
        entry: its id in the stream.
        queue: whose it is.
        raw: the task's very bytes.
        reason: the class of the cause.
        error: the cause in one sentence.
        error_type: the name of the class of what the handler raised.
        traceback: of what the handler raised, shortened.
        worker_id: who put it away.
        time: when it was put away, UTC, by the server's clock.
        task_id: the task's id.
        task_type: the task's type.
        attempts: how many runs were counted.
        deaths: how many workers have died of it.
        errors: of the attempts before, oldest first, as JSON objects.
    """

    entry: str
    queue: str
    raw: bytes
    reason: str
    error: str
    error_type: str
    traceback: str
    worker_id: str
    time: datetime
    task_id: str
    task_type: str
    attempts: int
    deaths: int
    errors: Sequence[dict[str, Any]] = ()


@frozen(kw_only=True)
class Selection:
    """Which dead letters are meant; what is None or empty doesn't matter.

    Attributes:
        ids: of tasks or of entries.
        task_type: their type.
        reason: their reason.
        older_than: seconds that they have lain here at least.
        newer_than: seconds that they have lain here at most.
    """

    ids: frozenset[str] = frozenset()
    task_type: str | None = None
    reason: Reason | None = None
    older_than: float | None = None
    newer_than: float | None = None

    def holds(self, letter: Letter, now: datetime) -> bool:
        """Say whether a letter is meant."""
        age = (now - letter.time).total_seconds()
        return (
            (not self.ids or letter.entry in self.ids or letter.task_id in self.ids)
            and self.task_type in (None, letter.task_type)
            and (self.reason is None or self.reason.value == letter.reason)
            and (self.older_than is None or age >= self.older_than)
            and (self.newer_than is None or age <= self.newer_than)
        )


@frozen(eq=False)
class DeadLetters:
    """The dead letters of one queue.

    Args:
        session: the way to the server.
        queue: whose.
        token: makes the nonces of bodies that are sent again.
    """

    session: Session
    queue: str
    token: Callable[[], str] = field(repr=False)

    async def count(self) -> int:
        """Return how many there are."""
        name = keys.dead(self.queue)
        return int(await self.session.ask(f"count the entries of {name}", "XLEN", name))

    async def find(self, selection: Selection) -> AsyncIterator[Letter]:
        """Go through those that are meant, the oldest first.

        Raises:
            ServerUnreachableError: the server is out of reach.
            RequestRefusedError: the server refused it.
        """
        name, request = keys.dead(self.queue), f"read {keys.dead(self.queue)}"
        seconds, micros = await self.session.ask("tell the time", "TIME")
        now = datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)
        start = "-"
        while True:
            words = ("XRANGE", name, start, "+", "COUNT", str(_PAGE))
            page = await self.session.ask(request, *words)
            for entry, fields in page:
                letter = read_letter(self.queue, entry.decode(), fields)
                if selection.holds(letter, now):
                    yield letter
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"

    async def requeue(self, letters: Sequence[Letter]) -> int:
        """Send letters again, as if they had never been run; return how many were still there.

        Each goes to the tail of the queue in the moment in which it ceases to be a dead letter,
        and its old answer goes with it. A body that is no task goes as it is.

        Raises:
            ServerUnreachableError: there is no connection; nothing was sent.
            RequestRefusedError: the server refused it.
            PushUncertainError: the connection failed meanwhile: some may have been sent. It is
                safe to try again: what was sent is no longer there.
        """
        count = 0
        for batch in _batches(letters):
            items = [self._item(letter) for letter in batch]
            count += await self.session.requeue(self.queue, items)
        return count

    def _item(self, letter: Letter) -> tuple[str, bytes, str | None]:
        try:
            decode_task(letter.raw)
        except MessageError:
            return letter.entry, letter.raw, letter.task_id or None
        return letter.entry, renewed_task(letter.raw, nonce=self.token()), letter.task_id or None

    async def purge(self, letters: Sequence[Letter]) -> int:
        """Throw letters away for good; return how many were still there.

        Raises:
            ServerUnreachableError: the server is out of reach.
            RequestRefusedError: the server refused it.
        """
        name, count = keys.dead(self.queue), 0
        for batch in _batches(letters):
            entries = (letter.entry for letter in batch)
            count += int(await self.session.ask(f"remove from {name}", "XDEL", name, *entries))
        return count


def _batches(letters: Sequence[Letter]) -> list[list[Letter]]:
    batches: list[list[Letter]] = []
    size = 0
    for letter in letters:
        size += len(letter.raw)
        if not batches or len(batches[-1]) == _BATCH or size > _BATCH_BYTES:
            batches.append([])
            size = len(letter.raw)
        batches[-1].append(letter)
    return batches


def read_letter(queue: str, entry: str, fields: Sequence[bytes] | dict[bytes, bytes]) -> Letter:
    """Read an entry of the stream, whoever has written it."""
    pairs = (
        fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
    )
    found = {name.decode(errors="replace"): value for name, value in pairs}

    def text(name: str) -> str:
        return found.get(name, b"").decode(errors="replace")

    def number(name: str) -> int:
        digits = text(name)
        return int(digits) if digits.isascii() and digits.isdigit() else 0

    when = int(entry.partition("-")[0]) / 1000
    return Letter(
        entry=entry,
        queue=queue,
        raw=found.get("task", b""),
        reason=text("reason"),
        error=text("error"),
        error_type=text("error_type"),
        traceback=text("traceback"),
        worker_id=text("worker_id"),
        time=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=when),
        task_id=text("task_id"),
        task_type=text("type"),
        attempts=number("attempts"),
        deaths=number("deaths"),
        errors=_errors(found.get("errors", b"")),
    )


def _errors(raw: bytes) -> tuple[dict[str, Any], ...]:
    try:
        return tuple(msgspec.json.decode(raw, type=list[dict[str, Any]]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
