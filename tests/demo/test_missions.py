from datetime import UTC, datetime

import anyio
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from actors import Context, Worker
from actors.notes import Notes
from runtime.demo import missions, work
from runtime.demo.missions import CAPABILITY, COUNT, NUMBERS, victim
from runtime.demo.record import Mission, Record
from runtime.demo.snapshot import MissionRow, MissionState
from runtime.demo.summary import summarise
from runtime.memory import MemoryBroker

RUNNING = MissionRow("1", "a", MissionState.RUNNING, "worker-1", 10, 20)


@given(start=st.integers(0, 2000), count=st.integers(0, 500))
def test_primes_are_counted(start: int, count: int) -> None:
    """A range's primes are those numbers above 1 that nothing divides."""
    numbers = range(start, start + count)
    expected = sum(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in numbers)
    assert work.primes_in(start, start + count) == expected


def test_together_they_count_all() -> None:
    """The missions' ranges are one without a gap, so that the sum of the answers can be checked."""
    payloads = [task["payload"] for _, task in missions.missions(chats=False)]
    assert len(payloads) == COUNT
    assert [p["start"] for p in payloads] == [0, *(p["stop"] for p in payloads[:-1])]
    assert payloads[-1]["stop"] == NUMBERS
    assert sum(work.primes_in(p["start"], p["stop"]) for p in payloads) == 49_098


@pytest.mark.parametrize("chats", [False, True])
def test_each_is_for_those_who_can(chats: bool) -> None:  # noqa: FBT001 - pytest's parameter
    """Each mission asks for the capability that the demo's agents have."""
    found = missions.missions(chats=chats)
    assert len({label for label, _ in found}) == COUNT
    assert {tuple(task["required_capabilities"]) for _, task in found} == {(CAPABILITY,)}


async def answer(payload: dict[str, object]) -> dict[str, object]:
    """Return what a worker answers to a mission."""
    broker = MemoryBroker()
    task_id = await broker.push("brain:mission_tasks", work.TASK_TYPE, payload)
    async with anyio.create_task_group() as service:
        worker = Worker(broker, work.handlers, concurrency=1)
        await service.start(worker.run)
        found = await broker.answer(task_id)
        await worker.stop()
    return dict(found)


def test_a_mission_is_answered() -> None:
    """The handler counts in steps, whether or not they divide the range evenly."""
    found = anyio.run(answer, {"start": 0, "stop": 1000, "steps": 7, "agent_id": "x"})
    assert found["success"] is True
    assert found["result"] == {"primes": 168, "steps": 7, "resumed_at": None}


def test_a_mission_goes_on() -> None:
    """A run after a death does the steps that are left, on top of what was counted before."""
    notes = Notes(state=b"[9,1000]")
    deadline = datetime(2026, 2, 17, tzinfo=UTC)
    context = Context("1", work.TASK_TYPE, "brain:mission_tasks", "w", 1, deadline, notes)
    payload = work.CountPrimes(start=0, stop=100, steps=10)
    found = anyio.run(work.count_primes, payload, context)
    assert found == {"primes": 1001, "steps": 10, "resumed_at": 9}
    assert notes.kept == b"[10,1001]"
    assert notes.progress == (10, 10)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"start": 5, "stop": 4}, "start is 5 and stop is 4"),
        ({"start": 0, "stop": 10**9 + 1}, "expected 0 <= start <= stop <= 1000000000"),
        ({"start": 0, "stop": 9, "steps": 0}, "steps is 0, expected 1 to 1000"),
        ({"start": 0, "stop": 9, "pause": 2.0}, "pause is 2.0, expected 0 to 1 s"),
    ],
)
def test_what_cant_be_counted_is_rejected(payload: dict[str, object], says: str) -> None:
    """A payload that makes no sense is a reject that names the field."""
    found = anyio.run(answer, payload)
    assert found["success"] is False
    assert says in str(found["result"])


def test_who_is_killed() -> None:
    """The one with the most missions, when it is well into each of them and none waits."""
    other = evolve(RUNNING, worker="worker-2")
    begun = evolve(other, done=2)
    assert victim([RUNNING, other]) == "worker-2"
    assert victim([RUNNING, RUNNING, other]) == "worker-1"
    assert victim([RUNNING, other, begun]) is None
    assert victim([RUNNING, other, evolve(other, done=None)]) is None
    assert victim([RUNNING, MissionRow("2", "b", MissionState.WAITING)]) is None
    assert victim([evolve(RUNNING, total=None)]) == "worker-1"
    assert victim([]) is None


def test_who_is_killed_when_all_is_answered() -> None:
    """Missions that were too short for a kill in their middle don't keep the demo from its end."""
    ended = evolve(RUNNING, state=MissionState.ANSWERED, answer="ready")
    assert victim([ended, evolve(ended, worker="worker-2")]) == "worker-2"


@given(st.lists(st.integers(0, 3), max_size=20))
def test_the_summary_counts(heard: list[int]) -> None:
    """A task without an answer is lost, one with several is answered twice; neither is well."""
    record = Record()
    for number, times in enumerate(heard):
        record.pushed[str(number)] = work.TASK_TYPE
        record.missions.append(Mission(str(number), "a"))
        for _ in range(times):
            record.hear(str(number), {"task_id": str(number), "result": {"primes": 1}})
    found = summarise(record)
    assert (found.pushed, found.once + found.twice + found.lost) == (len(heard), len(heard))
    assert (found.once, found.lost) == (heard.count(1), heard.count(0))
    assert found.well is all(times == 1 for times in heard)
    assert (found.primes or 0) == found.pushed - found.lost
