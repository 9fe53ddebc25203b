"""What runs note of themselves: saved states and progress; what every broker must do."""

import pytest

from actors import Delay, RefusedError, Settled, Settlement
from actors.recovery import plan_recovery
from messages import rewrite_task
from runtime.redis import keys
from tests.brokers.conftest import Rig
from tests.brokers.model import deaths, saves, surroundings, task
from tests.brokers.sides import RealSide
from tests.brokers.test_conformance import RAWS, done, put_away

pytestmark = pytest.mark.anyio


async def test_a_held_tasks_state_is_kept(rig: Rig) -> None:
    """The newest state is read, under a number that grows with each new one; others have none."""
    await rig.push(RAWS[0], RAWS[1])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 2)
        assert await session.saved("q", "t0") is None
        assert await session.save("q", RAWS[0], "t0", b'{"step": 1}') == 1
        assert await session.save("q", RAWS[0], "t0", b'"\xc3\xbc 2"') == 2
        assert await session.save("q", RAWS[0], "t0", b'"\xc3\xbc 2"') == 2
        assert await session.save("q", RAWS[1], "t1", b"null") == 1
        assert await session.saved("q", "t0") == (2, b'"\xc3\xbc 2"')
        assert await session.saved("p", "t0") is None
        assert await session.saved_numbers("q", ["t1", "t9", "t0"]) == {"t0": 2, "t1": 1}
        assert await session.saved_numbers("p", ["t0"]) == {}
        await session.release("q", RAWS[:2])


async def test_who_lost_a_task_saves_nothing(rig: Rig) -> None:
    """A worker that doesn't hold the task can't write over what the next run saves (I2)."""
    await rig.push(RAWS[0])
    async with (
        rig.broker.join(rig.member()) as session,
        rig.broker.join(rig.member("w#2")) as other,
    ):
        await other.take("q", 1)
        assert await session.save("q", RAWS[0], "t0", b"1") == 0
        assert rig.view().saved == {}
        await other.save("q", RAWS[0], "t0", b"2")
        assert await session.save("q", RAWS[0], "t0", b"3") == 0
        assert await session.saved("q", "t0") == (1, b"2")
        await other.release("q", RAWS[:1])


async def test_a_state_goes_with_the_answer(rig: Rig) -> None:
    """A success and a dead letter take their task's state along, and no other's."""
    await rig.push(*RAWS[:3])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 3)
        for number in range(3):
            await session.save("q", RAWS[number], f"t{number}", b"%d" % number)
        batch = [done(0), put_away(RAWS[1], "t1")]
        assert await session.settle("q", batch) == [Settled.DONE] * 2
        assert rig.view().saved == {"t2": b"1 2"}
        assert await session.settle("q", [done(2)]) == [Settled.DONE]
        assert rig.view().saved == {}


async def test_a_stale_answer_takes_no_state_along(rig: Rig) -> None:
    """Who has lost a task doesn't remove what the next run has saved (I2)."""
    await rig.push(RAWS[0])
    async with (
        rig.broker.join(rig.member()) as session,
        rig.broker.join(rig.member("w#2")) as other,
    ):
        await other.take("q", 1)
        await other.save("q", RAWS[0], "t0", b"1")
        assert await session.settle("q", [done(0)]) == [Settled.STALE]
        assert rig.view().saved == {"t0": b"1 1"}
        await other.release("q", RAWS[:1])


async def test_a_state_stays_with_a_retry(rig: Rig) -> None:
    """What waits for its next attempt keeps its state."""
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        await session.save("q", RAWS[0], "t0", b"1")
        body = rewrite_task(RAWS[0], nonce="n", attempt=2, saved=1)
        batch = [Settlement(RAWS[0], "t0", None, delay=Delay(body, after=0))]
        assert await session.settle("q", batch) == [Settled.DONE]
        assert rig.view().saved == {"t0": b"1 1"}


async def test_a_task_goes_back_in_a_body_that_tells_of_its_state(rig: Rig) -> None:
    """Of the tasks that are given back one has another body, and keeps its place (I3)."""
    await rig.push(*RAWS[:3])
    body = rewrite_task(RAWS[1], nonce="n", saved=1)
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 3)
        await session.save("q", RAWS[1], "t1", b"1")
        await session.release("q", RAWS[:3], {RAWS[1]: body})
        assert await session.held("q") == []
    assert rig.view().waiting == (RAWS[0], body, RAWS[2])
    assert rig.view().saved == {"t1": b"1 1"}


async def test_a_reclaimed_task_keeps_its_state_and_a_buried_one_does_not(rig: Rig) -> None:
    """Who gets on comes back with one death; a poison pill's state goes with its answer (I7)."""
    raws = [task("t0", 9, 2), task("t1", 9, 2)]
    pulse = rig.ghost(raws)
    for raw, task_id in zip(raws, ("t0", "t1"), strict=True):
        rig.side.save("q", "ghost#1", raw, task_id, b"1")
    async with rig.broker.join(rig.member()) as session:
        numbers = await session.saved_numbers("q", ["t0", "t1"])
        plan = plan_recovery(raws[:1], 1, "janitor", surroundings(), {"t0": numbers["t0"]})
        plan += plan_recovery(raws[1:], 1, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 2
    (body,) = rig.view().waiting
    assert (deaths(body), saves(body)) == (1, 1)
    assert rig.view().saved == {"t0": b"1 1"}
    assert len(rig.view().dead) == 1


async def test_progress_is_stored_and_removed(rig: Rig) -> None:
    """What is known of a task is replaced, and removed only if nobody else has replaced it."""
    async with rig.broker.join(rig.member()) as session:
        await session.report({"t0": b"a", "t1": b"b"}, {}, 60)
        await session.report({"t1": b"c", "t2": b"d"}, {"t0": b"a"}, 60)
        assert rig.seen().progress == {"t1": b"c", "t2": b"d"}
        await session.report({}, {"t1": b"b", "t2": b"d"}, 60)
        assert rig.seen().progress == {"t1": b"c"}
        await session.report({}, {"t1": b"c"}, 60)
    assert rig.seen().progress == {}


@pytest.mark.parametrize("kind", ["redis on asyncio"])
async def test_states_key_of_another_type_holds_up_nothing(rig: Rig) -> None:
    """With no hash there a save is refused; answers and recoveries go on."""
    assert isinstance(rig.side, RealSide)
    await rig.push(RAWS[0])
    pulse = rig.ghost([task("t1", 9, 2)])
    rig.side.move("q", "ghost#1")
    rig.side.wire.call("SET", keys.saved("q"), "no hash")
    await rig.push(RAWS[2])
    async with rig.broker.join(rig.member()) as session:
        raws = (await session.take("q", 1)).raws
        with pytest.raises(RefusedError, match="WRONGTYPE"):
            await session.save("q", raws[0], "t2", b"1")
        assert await session.settle("q", [done(2)]) == [Settled.DONE]
        assert await session.saved_numbers("q", ["t1"]) == {}
        held = await session.inflight("q", "ghost#1")
        plan = plan_recovery(held[:1], 1, "janitor", surroundings())
        plan += plan_recovery(held[1:], 0, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 2
    rig.side.wire.call("DEL", keys.saved("q"))


@pytest.mark.parametrize("kind", ["redis on asyncio"])
async def test_a_full_server_keeps_states_and_progress(rig: Rig) -> None:
    """With its memory full a server still takes what a running task notes, and progress expires."""
    assert isinstance(rig.side, RealSide)
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        rig.side.wire.call("CONFIG", "SET", "maxmemory", 1)
        assert await session.save("q", RAWS[0], "t0", b"1") == 1
        assert await session.saved_numbers("q", ["t0"]) == {"t0": 1}
        await session.report({"t0": b"a"}, {}, 60)
        assert 0 < rig.side.wire.call("TTL", keys.progress("t0")) <= 60
        assert await session.settle("q", [done(0)]) == [Settled.DONE]
        await session.report({}, {"t0": b"a"}, 60)


@pytest.mark.parametrize("kind", ["redis on asyncio"])
async def test_what_somebody_else_wrote_is_no_state(rig: Rig) -> None:
    """A field that isn't of the protocol's form is no state, and is written over."""
    assert isinstance(rig.side, RealSide)
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        for garbage in (b"", b"5", b"x 1", b" 1", b"9" * 5000 + b" 1"):
            rig.side.wire.call("HSET", keys.saved("q"), "t0", garbage)
            assert await session.saved("q", "t0") is None
        rig.side.wire.call("HSET", keys.saved("q"), "t0", "x 1")
        assert await session.saved_numbers("q", ["t0"]) == {}
        assert await session.save("q", RAWS[0], "t0", b"1") == 1
        assert await session.settle("q", [done(0)]) == [Settled.DONE]
