"""Every script with an error injected at each of its calls of the server.

After the error each task is in one place; after the protocol's remedy everything is as if there
had been none. `Pair` checks both, against a store that knows no errors.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import pytest

from actors import RefusedError, Settlement
from actors.recovery import plan_recovery
from messages import rewrite_task
from tests.brokers import model
from tests.brokers.faults import injecting
from tests.brokers.model import Ledger
from tests.brokers.pair import Pair, outcome
from tests.brokers.sides import MemorySide, Names, RealSide
from tests.servers import Valkey

HOLDER: Final = "w#1"
TWICE: Final = model.task("a", 0)
FATAL: Final = model.task("b", 9, 2)
BODIES: Final = (TWICE, FATAL, model.UNDECODABLE[0], TWICE, model.UNDECODABLE[1])

Scenario = Callable[[Pair, int], object]


@pytest.fixture
def pair(valkey_server: Valkey) -> Iterator[Pair]:
    valkey_server.reset()
    names = Names(("q",), model.TASK_IDS, [HOLDER], ["w"])
    real = RealSide(valkey_server, names)
    yield Pair(real, MemorySide(names), Ledger())
    real.close()


def holding(pair: Pair) -> list[bytes]:
    """Let the holder hold every kind of body, with more in the queue, and return them."""
    pair.both("renew", "q", HOLDER, 1, 4)
    for raw in BODIES:
        pair.push("q", raw)
    taken = pair.take("q", HOLDER, len(BODIES), 0)
    pair.push("q", model.task("c", 1))
    assert taken == list(BODIES)
    return list(taken)


def take(pair: Pair, fault: int) -> None:
    holding(pair)
    pair.push("q", TWICE)
    pair.push("q", model.task("d", 1))
    pair.take("q", HOLDER, 3, fault)


def settle(pair: Pair, fault: int) -> None:
    raws = [*holding(pair)[:4], model.task("d", 2)]
    batch = [model.ending(raw, f"w {place}", reject=place == 1) for place, raw in enumerate(raws)]
    pair.settle("q", HOLDER, 1, batch, fault)


def settle_delayed(pair: Pair, fault: int) -> None:
    raws = [*holding(pair), model.task("d", 2)]
    batch = [
        model.ending(raw, f"w {place}", reject=False, delay=place if place != 1 else None)
        for place, raw in enumerate(raws)
    ]
    pair.settle("q", HOLDER, 1, batch, fault)


def settle_cancelled(pair: Pair, fault: int) -> None:
    """All ways in which a task can end, once it was cancelled."""
    raws = [*holding(pair)[:3], model.task("c", 1), model.task("d", 1)]
    pair.push("q", raws[4])
    assert pair.take("q", HOLDER, 2, 0) == raws[3:]
    for task_id in "abcd":
        pair.cancel(task_id, "somebody")
    batch = [
        model.ending(raw, f"w {place}", reject=place == 1, delay=7 if place == 3 else None)
        for place, raw in enumerate(raws[:4])
    ]
    batch.append(Settlement(raws[4], "d", None))
    pair.settle("q", HOLDER, 1, batch, fault)
    assert pair.real.snapshot().cancelled == frozenset()


def cancel(pair: Pair, fault: int) -> None:
    holding(pair)
    assert pair.cancel("a", "somebody", fault) == 1
    assert pair.cancel("a", "somebody else") == 2


def reclaim_cancelled(pair: Pair, fault: int) -> None:
    raws = holding(pair)[:2]
    for task_id in "ab":
        pair.cancel(task_id, "somebody")
    pair.release("q", HOLDER, [*BODIES[2:]], 0)
    plan = [plan_recovery([raw], 1, "janitor", model.surroundings())[0] for raw in raws]
    assert pair.reclaim("q", HOLDER, "1 4", plan, fault) == len(raws)
    # What is to be buried is dropped, and what comes back is dropped when it is taken.
    assert pair.real.snapshot().cancelled == {"a"}


def promote(pair: Pair, fault: int) -> None:
    settle_delayed(pair, 0)
    pair.promote("q", HOLDER, 1000, fault)


def fire(pair: Pair, fault: int) -> None:
    holding(pair)
    assert pair.fire("q", "r", None, 1_000, [TWICE])
    assert pair.fire("q", "r", 1_000, 3_000, [model.task("d", 1), TWICE], fault)


def look_at_recurring(pair: Pair, fault: int) -> None:
    for side in (pair.real, pair.memory):
        side.noted("q", "old", 1_000, 31 * 86_400_000)
        side.noted("q", "asked", 2_000, 29 * 86_400_000)
    seen = pair.twice(fault, "recurring", "q", ["asked", "new"])
    assert seen == {"asked": 2_000, "new": None}


def release(pair: Pair, fault: int) -> None:
    pair.release("q", HOLDER, [*holding(pair)[1:], model.task("d", 2)], fault)


def reclaim(pair: Pair, fault: int) -> None:
    raws = holding(pair)
    plan = [plan_recovery([raw], 1, "janitor", model.surroundings())[0] for raw in raws[:4]]
    plan += plan_recovery(raws[4:], 0, "janitor", model.surroundings())
    assert pair.reclaim("q", HOLDER, "1 4", plan, fault) == len(raws)


def with_states(pair: Pair) -> list[bytes]:
    """Let the holder hold tasks of which two have saved something, and return them."""
    raws = holding(pair)
    for step, raw in enumerate((raws[0], raws[1], raws[0])):
        pair.save("q", HOLDER, raw, b'{"step": %d}' % step)
    return raws


def save(pair: Pair, fault: int) -> None:
    raws = holding(pair)
    pair.save("q", HOLDER, raws[0], b"1")
    pair.save("q", HOLDER, raws[0], b"2", fault)
    assert pair.both("saved", "q", "a") == (2, b"2")


def settle_saved(pair: Pair, fault: int) -> None:
    raws = with_states(pair)
    batch = [model.ending(raws[0], "w 0", reject=False), model.ending(raws[1], "w 1", reject=True)]
    pair.settle("q", HOLDER, 1, batch, fault)
    assert pair.both("saved_numbers", "q", ["a", "b"]) == {}


def delay_saved(pair: Pair, fault: int) -> None:
    raws = with_states(pair)
    pair.settle("q", HOLDER, 1, [model.ending(raws[0], "w", reject=False, delay=1)], fault)
    assert pair.both("saved_numbers", "q", ["a", "b"]) == {"a": 2, "b": 1}


def reclaim_saved(pair: Pair, fault: int) -> None:
    raws = with_states(pair)
    numbers = {"a": 2}
    plan = [
        plan_recovery([raw], 1, "janitor", model.surroundings(), numbers)[0] for raw in raws[:2]
    ]
    plan += plan_recovery(raws[2:], 0, "janitor", model.surroundings(), numbers)
    assert [one.bury is None for one in plan] == [True, False, True, True, True]
    assert pair.reclaim("q", HOLDER, "1 4", plan, fault) == len(raws)
    assert pair.both("saved_numbers", "q", ["a", "b"]) == {"a": 2}


def release_saved(pair: Pair, fault: int) -> None:
    raws = with_states(pair)
    body = rewrite_task(raws[1], nonce="n", saved=1, deaths=0)
    pair.release("q", HOLDER, raws[:3], fault, {raws[1]: body})


def report(pair: Pair, fault: int) -> None:
    progress, over = {"a": b"1", "b": b"2"}, {"c": b"3", "d": b"4"}
    pair.both("report", over, {})
    pair.both("report", {"d": b"others"}, {})
    pair.faulty("report", fault, progress, over)
    pair.both("report", progress, over)
    assert pair.real.snapshot().progress == progress | {"d": b"others"}


def renew(pair: Pair, fault: int) -> None:
    pair.twice(fault, "renew", "q", HOLDER, 1, 2)


def renew_again(pair: Pair, fault: int) -> None:
    pair.both("renew", "q", HOLDER, 1, 2)
    assert pair.twice(fault, "renew", "q", HOLDER, 2, 2)


def leave(pair: Pair, fault: int) -> None:
    pair.both("renew", "q", HOLDER, 1, 2)
    assert pair.twice(fault, "leave", "q", HOLDER)


def leave_tasks_behind(pair: Pair, fault: int) -> None:
    holding(pair)
    assert not pair.twice(fault, "leave", "q", HOLDER)


def forget(pair: Pair, fault: int) -> None:
    pair.both("renew", "q", HOLDER, 1, 2)
    pair.both("reclaim", "q", HOLDER, "1 2", [])
    assert pair.twice(fault, "forget", "q", HOLDER)


def beat(pair: Pair, fault: int) -> None:
    pair.twice(fault, "beat", "w", b"alive")


def stop_beating(pair: Pair, fault: int) -> None:
    pair.both("beat", "w", b"alive")
    pair.twice(fault, "stop_beating", "w", b"alive")


# How many calls each makes, so that a fault at each of them is known to have come.
CALLS: Final = {
    take: 6,
    save: 3,
    settle: 25,
    settle_cancelled: 24,
    settle_saved: 18,
    settle_delayed: 25,
    delay_saved: 7,
    cancel: 8,
    reclaim_cancelled: 11,
    promote: 9,
    fire: 4,
    look_at_recurring: 4,
    release: 13,
    release_saved: 9,
    reclaim: 22,
    reclaim_saved: 21,
    report: 5,
    renew: 4,
    renew_again: 4,
    leave: 4,
    leave_tasks_behind: 2,
    forget: 3,
    beat: 1,
    stop_beating: 2,
}


@pytest.mark.parametrize("scenario", CALLS, ids=lambda one: one.__name__)
def test_an_error_at_any_call_loses_and_doubles_nothing(
    valkey_server: Valkey, scenario: Scenario
) -> None:
    """Whichever call of a script fails: tasks are in one place, and the remedy mends the rest."""
    valkey_server.reset()
    for fault in count(1):
        names = Names(("q",), model.TASK_IDS, [HOLDER], ["w"])
        real = RealSide(valkey_server, names)
        try:
            pair = Pair(real, MemorySide(names), Ledger())
            scenario(pair, fault)
            pair.check()
        finally:
            real.close()
        if not pair.faults:
            break
    assert fault - 1 == CALLS[scenario]


@pytest.mark.parametrize("fault", [1, 2])
def test_numbers_that_cannot_be_read_are_asked_for_again(pair: Pair, fault: int) -> None:
    """A failing call makes the reading fail as a whole; it shows no task without its state."""
    with_states(pair)
    with injecting(fault):
        assert outcome(pair.real.saved_numbers, "q", ["a", "b"]) is RefusedError
    assert pair.both("saved_numbers", "q", ["a", "b", "c"]) == {"a": 2, "b": 1}


@pytest.mark.parametrize("fault", [1, 2, 3])
def test_a_look_that_fails_can_be_repeated(pair: Pair, fault: int) -> None:
    """A failing call makes the look fail as a whole; it shows nothing wrong."""
    holding(pair)
    pair.real.drop_lease("q", HOLDER)
    pair.memory.drop_lease("q", HOLDER)
    pair.both("renew", "q", "w#2", 1, 1)
    with injecting(fault):
        assert outcome(pair.real.look, "q") is RefusedError
    assert pair.both("look", "q").unleased == {HOLDER: True}
