"""What every broker must do with what people order: cancelled tasks, paused queues, a bound."""

import pytest

from actors import Delay, Orders, RefusedError, Settled, Settlement
from actors.recovery import plan_recovery
from runtime.redis import keys
from tests.brokers.conftest import Rig
from tests.brokers.model import answer_of, surroundings, task
from tests.brokers.sides import RealSide
from tests.brokers.test_conformance import RAWS, done, put_away, taken_of

pytestmark = pytest.mark.anyio

ANSWER = answer_of("t0", "somebody")


def cancel(rig: Rig, number: int = 0) -> int:
    """Cancel a task as a producer does."""
    return rig.side.cancel(f"t{number}", answer_of(f"t{number}", "somebody"))


async def test_a_cancelled_task_is_answered_at_once(rig: Rig) -> None:
    """Its answer is stored and published while its body still waits; a second time does nothing."""
    await rig.push(RAWS[0])
    assert cancel(rig) == 1
    seen = rig.seen()
    assert (seen.results, seen.cancelled) == ({"t0": ANSWER}, {"t0"})
    assert [body for _, body in seen.published] == [ANSWER, ANSWER]
    assert seen.queues["q"].waiting == (RAWS[0],)
    assert cancel(rig) == 2
    assert rig.seen() == seen


async def test_an_answered_task_is_not_cancelled(rig: Rig) -> None:
    """Its answer stands, and nothing marks it (I2)."""
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        await session.settle("q", [done(0)])
    before = rig.seen()
    assert cancel(rig) == 0
    assert rig.seen() == before


async def test_who_takes_learns_what_was_cancelled(rig: Rig) -> None:
    """A take and a wait tell that there are marks, and the orders tell which."""
    async with rig.broker.join(rig.member()) as session:
        await rig.push(RAWS[0])
        assert not (await session.take("q", 1)).marked
        cancel(rig)
        await rig.push(*RAWS[1:3])
        assert (await session.take("q", 1)).marked
        ((_, found),) = await session.wait(["q"])
        assert (found.raws, found.marked) == ((RAWS[2],), True)
        assert await session.orders(["q"], ["t0", "t1"]) == Orders(cancelled=frozenset({"t0"}))
        await session.release("q", RAWS[:3])


async def test_a_cancelled_tasks_end_is_silent(rig: Rig) -> None:
    """However its run ends, its body goes, its mark goes, and the first answer stands (I2)."""
    raws = RAWS[:4]
    await rig.push(*raws)
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 4)
        for number in range(4):
            cancel(rig, number)
        before = rig.seen()
        endings = [
            done(0),
            put_away(RAWS[1], "t1"),
            Settlement(RAWS[2], "t2", None, delay=Delay(RAWS[5], 0)),
            Settlement(RAWS[3], "t3", None),
        ]
        assert await session.settle("q", endings) == [Settled.CANCELLED] * 4
        seen = rig.seen()
        assert (seen.results, seen.published) == (before.results, before.published)
        assert seen.cancelled == frozenset()
        view = seen.queues["q"]
        assert (view.waiting, view.inflight, view.dead, view.delayed) == ((), {}, (), set())


async def test_others_of_the_batch_are_answered(rig: Rig) -> None:
    """A cancelled task keeps no neighbour from its answer."""
    await rig.push(*RAWS[:3])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 3)
        cancel(rig, 1)
        statuses = await session.settle("q", [done(number) for number in range(3)])
        assert statuses == [Settled.DONE, Settled.CANCELLED, Settled.DONE]
        assert set(rig.seen().results) == {"t0", "t1", "t2"}


async def test_a_mark_of_what_is_not_held_stays(rig: Rig) -> None:
    """Who has lost a cancelled task leaves its mark to the one who has it now."""
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        cancel(rig)
        assert await session.settle("q", [done(0)]) == [Settled.STALE]
        assert rig.seen().cancelled == {"t0"}


async def test_a_cancelled_poison_pill_is_dropped(rig: Rig) -> None:
    """What a dead worker held of cancelled tasks is neither buried nor answered again."""
    pill = task("t0", 9, deaths=2)
    pulse = rig.ghost([pill])
    async with rig.broker.join(rig.member()) as session:
        cancel(rig)
        plan = plan_recovery([pill], 1, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 1
        seen = rig.seen()
        assert (seen.results, seen.cancelled) == ({"t0": ANSWER}, frozenset())
        assert (seen.queues["q"].dead, seen.queues["q"].inflight) == ((), {})


async def test_nothing_is_taken_from_a_paused_queue(rig: Rig) -> None:
    """Until it is resumed; then all goes on in its order (I3), and what was held stayed so."""
    await rig.push(*RAWS[:3])
    async with rig.broker.join(rig.member(queues=("q", "p"))) as session:
        assert taken_of(await session.take("q", 1)) == RAWS[:1]
        assert [rig.side.pause("q", True), rig.side.pause("q", True)] == [True, False]
        assert taken_of(await session.take("q", 9)) == []
        assert (await session.orders(["p", "q"], [])).paused == {"q"}
        assert await session.settle("q", [done(0)]) == [Settled.DONE]
        assert [rig.side.pause("q", False), rig.side.pause("q", False)] == [True, False]
        assert (await session.orders(["p", "q"], [])).paused == frozenset()
        assert taken_of(await session.take("q", 9)) == RAWS[1:3]
        await session.release("q", RAWS[1:3])


async def test_the_oldest_dead_letters_make_room(rig: Rig) -> None:
    """More than are kept aren't, whoever puts them away, and those that went are counted."""
    pulse = rig.ghost([b"{", b"}"])
    await rig.push(*RAWS[:4])
    async with rig.bounded(3).join(rig.member()) as session:
        await session.take("q", 4)
        await session.settle("q", [put_away(raw, f"t{n}") for n, raw in enumerate(RAWS[:2])])
        assert rig.view().trimmed == 0
        await session.settle("q", [put_away(raw, f"t{n}") for n, raw in enumerate(RAWS[2:4], 2)])
        assert ([body_of(one) for one in rig.view().dead], rig.view().trimmed) == (RAWS[1:4], 1)
        plan = plan_recovery([b"{", b"}"], 2, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 2
        assert ([body_of(one) for one in rig.view().dead], rig.view().trimmed) == (
            [RAWS[3], b"}", b"{"],
            3,
        )


def body_of(fields: tuple[bytes, ...]) -> bytes:
    """Return a dead letter's body."""
    return fields[fields.index(b"task") + 1]


async def test_an_order_is_not_forgotten_soon(rig: Rig) -> None:
    """A mark outlasts its answer: a task that waits for longer than that isn't run either."""
    await rig.push(RAWS[0])
    cancel(rig)
    if hasattr(rig.side, "store"):
        rig.side.store.results.clear()
    else:
        rig.side.wire.call("DEL", "brain:task:t0:result")
    assert cancel(rig) == 2
    assert rig.seen().results == {}
    async with rig.broker.join(rig.member()) as session:
        assert (await session.take("q", 1)).marked
        assert (await session.orders([], ["t0"])).cancelled == {"t0"}
        assert await session.settle("q", [done(0)]) == [Settled.CANCELLED]
        assert rig.seen().results == {}


@pytest.mark.parametrize("kind", ["redis on asyncio"])
async def test_marks_key_of_another_type_holds_up_nothing(rig: Rig) -> None:
    """With no marks there a cancellation is refused; tasks are taken, answered and recovered."""
    assert isinstance(rig.side, RealSide)
    pulse = rig.ghost([b"{"])
    await rig.push(*RAWS[:2])
    rig.side.wire.call("SET", keys.CANCELLED, "no marks")
    with pytest.raises(RefusedError, match="WRONGTYPE"):
        cancel(rig)
    async with rig.broker.join(rig.member()) as session:
        assert not (await session.take("q", 1)).marked
        assert not (await session.wait(["q"]))[0][1].marked
        assert (await session.orders(["q"], ["t0"])) == Orders()
        assert await session.settle("q", [done(0), done(1)]) == [Settled.DONE] * 2
        held = await session.inflight("q", "ghost#1")
        plan = plan_recovery(held, 1, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 1
    rig.side.wire.call("DEL", keys.CANCELLED)
