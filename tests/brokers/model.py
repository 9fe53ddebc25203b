"""What must hold whatever a broker does: a ledger of every task, kept apart from both sides."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from itertools import count
from typing import Final

import msgspec
from attrs import define, field

from actors import Delay, Recovery, Settlement, Surroundings
from actors.recovery import DEATHS_OF_A_POISON_PILL
from messages import DeadLetter, MalformedTaskError, Reason, decode_task, rewrite_task
from runtime.redis import keys
from tests.brokers.sides import QueueView, Snapshot

PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)
NOON: Final = datetime(2026, 2, 17, 12, tzinfo=UTC)
TASK_IDS: Final = ("a", "b", "c", "d")

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def task(task_id: str, number: int, deaths: int = 0) -> bytes:
    """Return a body as a producer may write it; equal arguments give equal bodies."""
    counted = f', "deaths": {deaths}' if deaths else ""
    return (
        f'{{"id": "{task_id}", "type": "t", "payload": {{"n": {number}.50, "big": 1e400}}, '
        f'"created_at": "2024-02-17T10:30:00", "ours": [1.0,  2]{counted}}}'
    ).encode()


# The second has an id that can be read, so it is answered.
UNDECODABLE: Final = (b"not json", b'{"id": "a", "type": 7}', b"\xff\xfe", b"[]", b"")
BODIES: Final = (
    *(task(task_id, number) for task_id in TASK_IDS for number in range(3)),
    *(task(task_id, 9, deaths) for task_id in TASK_IDS[:2] for deaths in (1, 2)),
    *UNDECODABLE,
)


def surroundings() -> Surroundings:
    """Return a clock that stands and names that never repeat."""
    numbers = count()
    return Surroundings(now=lambda: NOON, token=lambda: f"nonce-{next(numbers)}")


@cache
def readable_id(raw: bytes) -> str | None:
    """Return the id under which a body is answered."""
    try:
        return decode_task(raw).id
    except MalformedTaskError as error:
        return error.task_id


def answer_of(task_id: str, mark: str) -> bytes:
    """Return an answer that tells who gave it."""
    return json.dumps({"task_id": task_id, "worker_id": mark}).encode()


def ending(raw: bytes, mark: str, *, reject: bool, delay: int | None = None) -> Settlement:
    """Return how a worker that is named in `mark` ends a task.

    With `delay` it is tried again, at that many ms after a time that has passed long ago.
    """
    task_id = readable_id(raw)
    if delay is not None and raw not in UNDECODABLE:
        body = rewrite_task(raw, nonce=mark, attempt=2)
        at = PAST + timedelta(milliseconds=delay)
        return Settlement(raw, task_id, None, delay=Delay(body, at=at))
    answer = answer_of(task_id, mark) if task_id else None
    letter = DeadLetter(raw, Reason.REJECTED, "no", mark, NOON, task_id)
    return Settlement(raw, task_id, answer, letter if reject or task_id is None else None)


class Life(Enum):
    """What has become of a worker."""

    ALIVE = "alive"
    DEAD = "dead"
    LEFT = "left"


@define(eq=False)
class Batch:
    """A batch of settlements that was sent; it may arrive again at any time."""

    queue: str
    number: int
    settlements: list[Settlement]


@define(eq=False)
class Worker:
    """A worker as it sees itself: what it believes to hold may be out of date."""

    holder: str
    slots: int
    life: Life = Life.ALIVE
    pulse: int = 0
    number: int = 0
    known: dict[str, list[bytes]] = field(factory=dict)
    batches: list[Batch] = field(factory=list)

    def __repr__(self) -> str:
        return f"Worker({self.holder}, {self.life.value})"


class Ledger:
    """Every task that was pushed, and where it must be."""

    def __init__(self) -> None:
        self.live: Counter[bytes] = Counter()
        """Bodies that are neither answered nor put away."""
        self.pushed: Counter[str | None] = Counter()
        """How often each id was pushed; None for bodies without one."""
        self._origin: dict[bytes, bytes] = {}

    def push(self, raw: bytes) -> None:
        """Note a push."""
        self.live[raw] += 1
        self.pushed[readable_id(raw)] += 1
        self._origin.setdefault(raw, raw)

    def end(self, raw: bytes) -> None:
        """Note that a task was ended."""
        self.live -= Counter([raw])

    def rewrite(self, raw: bytes, body: bytes) -> None:
        """Note that a task goes on under another body."""
        self.end(raw)
        self.live[body] += 1
        self._origin[body] = self._origin[raw]

    def recover(self, recovery: Recovery) -> None:
        """Note that a dead worker's task is back in the queue, or buried."""
        self.end(recovery.raw)
        if recovery.requeue is not None:
            self.live[recovery.requeue] += 1
            self._origin[recovery.requeue] = self._origin[recovery.raw]

    def check(self, seen: Snapshot) -> None:
        """Check the invariants that hold at every moment."""
        for view in seen.queues.values():
            self._check_holders(view)
        self.check_places(seen)
        self._check_answers(seen)
        self._check_fidelity(seen)
        self._check_states(seen)

    def check_places(self, seen: Snapshot) -> None:
        """Check what must hold in the middle of things too.

        Each task is in one place (I1), and no answer is stored before its task has ended (I2).
        """
        places: Counter[bytes] = Counter()
        for view in seen.queues.values():
            places.update(view.waiting)
            places.update(view.delayed)
            for raws in view.inflight.values():
                places.update(raws)
        assert places == self.live, f"I1: {places} instead of {self.live}"
        live = self._live_ids()
        for task_id in seen.results:
            # One that was cancelled is answered while its body still lies somewhere.
            early = task_id in seen.cancelled
            assert live[task_id] - early < self.pushed[task_id], f"I2: {task_id} is answered early"

    def _live_ids(self) -> Counter[str | None]:
        live: Counter[str | None] = Counter()
        for raw, number in self.live.items():
            live[readable_id(raw)] += number
        return live

    def _check_answers(self, seen: Snapshot) -> None:
        """Check that what is no longer live was answered or put away, once."""
        live = self._live_ids()
        answers = Counter(task_of(body) for body in heard(seen))
        for task_id in TASK_IDS:
            ended = answers[task_id] - (task_id in seen.cancelled)
            assert ended + live[task_id] == self.pushed[task_id], f"I2: {task_id}"
        for task_id, body in seen.results.items():
            last = [one for one in heard(seen) if task_of(one) == task_id]
            assert last, f"I2: {task_id} has an answer that nobody heard"
            assert body == last[-1], f"I2: {task_id}"
        put_away = sum(readable_id(dict_of(one)[b"task"]) is None for one in dead_of(seen))
        assert put_away + live[None] == self.pushed[None], "I1: bodies without an id"

    def _check_holders(self, view: QueueView) -> None:
        assert set(view.inflight) <= view.holders, "I4: a holder of tasks that nobody can find"
        assert set(view.leases) <= view.holders, "I4: a lease without an entry"

    def _check_states(self, seen: Snapshot) -> None:
        live = self._live_ids()
        for view in seen.queues.values():
            for task_id in view.saved:
                assert live[task_id], f"a state of {task_id} is left, and no task"

    def _check_fidelity(self, seen: Snapshot) -> None:
        buried = {dict_of(one)[b"task"] for one in dead_of(seen)}
        assert buried <= set(self._origin), "I8: a dead letter that nobody pushed"
        for raw in self.live:
            origin = self._origin[raw]
            if raw != origin:
                assert unchanged(raw) == unchanged(origin), "I8"


def heard(seen: Snapshot) -> list[bytes]:
    """Return the answers that were published for all, having checked those for one (I2)."""
    everyone = [body for channel, body in seen.published if channel == keys.RESULTS_CHANNEL]
    alone = [(channel, body) for channel, body in seen.published if channel != keys.RESULTS_CHANNEL]
    assert alone == [(keys.result(task_of(body)), body) for body in everyone]
    return everyone


@cache
def task_of(answer: bytes) -> str:
    """Return whom an answer is about."""
    return str(json.loads(answer)["task_id"])


def dead_of(seen: Snapshot) -> list[tuple[bytes, ...]]:
    """Return the dead letters of all queues."""
    return [one for view in seen.queues.values() for one in view.dead]


def dict_of(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a dead letter's fields by name."""
    return dict(zip(fields[::2], fields[1::2], strict=True))


_OURS: Final = ("attempt", "deaths", "saved", "nonce")


def unchanged(raw: bytes) -> dict[str, bytes]:
    """Return the bytes of all fields that the pool may not change."""
    fields = _FIELDS.decode(raw)
    return {name: bytes(one) for name, one in fields.items() if name not in _OURS}


def deaths(raw: bytes) -> int:
    """Return the deaths that a body carries, read without the codec."""
    return int(json.loads(raw).get("deaths", 0))


def saves(raw: bytes) -> int:
    """Return the number of the newest state that a body knows of, read without the codec."""
    return int(json.loads(raw).get("saved", 0))


def check_deaths(plan: Sequence[Recovery], slots: int, saved: Mapping[str, int]) -> None:
    """Check that exactly those tasks that could have begun count a death (I7).

    Of one that has saved something new since its body was written, it is the first one.
    """
    for position, one in enumerate(plan):
        number = 0 if one.raw in UNDECODABLE else saved.get(readable_id(one.raw) or "", 0)
        if number and number > saves(one.raw):
            assert one.requeue is not None, "I7: it gets on"
            assert saves(one.requeue) == number
            assert deaths(one.requeue) == (position < slots), "I7: it gets on"
        elif position >= slots:
            assert one.requeue == one.raw, "I7: it couldn't have begun"
        elif one.requeue == one.raw:
            assert len(plan) > 1, "I7: a suspect that was alone"
            assert deaths(one.raw) >= DEATHS_OF_A_POISON_PILL - 1, "I7"
        elif one.requeue is not None:
            assert deaths(one.requeue) == deaths(one.raw) + 1, "I7"
        else:
            assert one.bury is not None
            letter = one.bury.dead
            assert isinstance(letter, DeadLetter)
            poison = letter.reason is Reason.POISON_PILL
            assert poison or one.raw in UNDECODABLE, "I7"
            if poison:
                assert len(plan) == 1, "I7: a suspect that hadn't begun"
                assert deaths(one.raw) + 1 >= DEATHS_OF_A_POISON_PILL, "I7"
