"""What only a server can show: expiry, a full memory, scripts that it has forgotten."""

import pytest

from actors import RefusedError, Settled, Taken
from actors.recovery import plan_recovery
from runtime.redis import keys, scripts
from tests.brokers.conftest import Rig
from tests.brokers.model import surroundings
from tests.brokers.sides import RealSide, drive
from tests.brokers.test_conformance import RAWS, done, put_away
from tests.brokers.test_conformance_delays import BODIES, later

pytestmark = pytest.mark.anyio


@pytest.fixture
def kind() -> str:
    return "redis on asyncio"


def real(rig: Rig) -> RealSide:
    assert isinstance(rig.side, RealSide)
    return rig.side


async def test_only_the_protocols_keys_last(rig: Rig) -> None:
    """Answers, heartbeats and batch numbers expire; nothing else is left but what is held."""
    wire = real(rig).wire
    await rig.push(*RAWS[:3])
    async with rig.broker.join(rig.member()) as session:
        await session.beat(b"alive", 60)
        assert 0 < wire.call("TTL", keys.heartbeat("w")) <= 60
        await session.take("q", 2)
        await session.settle("q", [done(0), put_away(RAWS[1], "t1")])
        assert wire.call("TTL", keys.result("t0")) == 3600
        assert wire.call("TTL", keys.result("t1")) == 3600
        real(rig).cancel("t2", b"cancelled")
        assert wire.call("TTL", keys.result("t2")) == 3600
        assert 0 < wire.call("TTL", keys.settled("q", "w#1")) <= 3600
    lasting = {key for key in wire.call("KEYS", "*") if wire.call("TTL", key) == -1}
    assert lasting == {b"q", keys.dead("q").encode(), keys.CANCELLED.encode()}


async def test_a_buried_tasks_answer_expires(rig: Rig) -> None:
    """The answer that a reclaim gives has the contract's expiry too."""
    bodies = [b'{"id": "t0"}']
    pulse = rig.ghost(bodies)
    async with rig.broker.join(rig.member()) as session:
        plan = plan_recovery(bodies, 1, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 1
    assert real(rig).wire.call("TTL", keys.result("t0")) == 3600


async def test_a_full_server_is_drained(rig: Rig) -> None:
    """With its memory full a server refuses plain writes; what is queued goes on being answered."""
    side = real(rig)
    await rig.push(*RAWS[:5])
    pulse = rig.ghost([RAWS[5]])
    side.wire.call("LMOVE", "q", "q", "RIGHT", "LEFT")
    async with rig.broker.join(rig.member()) as session:
        side.wire.call("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(RefusedError, match="OOM"):
            side.move("q", "w#1")
        head = rig.view().waiting[0]
        assert await session.wait(["q"]) == [("q", Taken((head,)))]
        (second,) = (await session.take("q", 1)).raws
        assert await session.settle("q", [put_away(head, None)]) == [Settled.DONE]
        await session.release("q", [second])
        assert rig.view().waiting[0] == second
        assert await session.held("q") == []
        await session.beat(b"alive", 60)
        assert side.renew("q", "w#1", 99, 2)
        plan = plan_recovery([*side.held("q", "ghost#1")], 1, "janitor", surroundings())
        assert await session.reclaim("q", "ghost#1", pulse, plan) == 1
        await session.forget("q", "ghost#1")
        assert "ghost#1" not in rig.view().holders
    assert rig.view().leases == {}


async def test_a_full_server_moves_what_is_due(rig: Rig) -> None:
    """With its memory full a failed task is delayed, and comes back when it is due."""
    side = real(rig)
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        side.wire.call("CONFIG", "SET", "maxmemory", 1)
        assert await session.settle("q", [later(0, after=0)]) == [Settled.DONE]
        assert (await session.promote("q", 10)).moved == 1
        assert rig.view().waiting == (BODIES[0],)


async def test_a_full_server_takes_orders(rig: Rig) -> None:
    """With its memory full, tasks can be cancelled and a queue paused and resumed."""
    side = real(rig)
    await rig.push(RAWS[0])
    side.wire.call("CONFIG", "SET", "maxmemory", 1)
    assert side.cancel("t0", b"cancelled") == 1
    assert (side.pause("q", True), side.pause("q", False)) == (True, True)


async def test_old_marks_are_forgotten(rig: Rig) -> None:
    """A mark that is older than any task can wait goes when another task is cancelled."""
    side = real(rig)
    side.wire.call("ZADD", keys.CANCELLED, 1000, keys.result("t1"))
    side.cancel("t0", b"cancelled")
    assert rig.seen().cancelled == {"t0"}


async def test_a_lead_lapses(rig: Rig) -> None:
    """Who leads and dies is followed by another within a second."""
    async with rig.broker.join(rig.member()) as session:
        await session.promote("q", 10)
        assert 0 < real(rig).wire.call("PTTL", keys.promoter("q")) <= 1000


async def test_a_full_server_refuses_firings(rig: Rig) -> None:
    """A firing is a push: a full server takes none, and notes none; a look it still allows."""
    side = real(rig)
    async with rig.broker.join(rig.member()) as session:
        await session.fire("q", "r", None, 1_000, [])
        side.noted("q", "r", 1_000, 29 * 86_400_000)
        side.wire.call("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(RefusedError, match="full"):
            await session.fire("q", "r", 1_000, 2_000, [RAWS[0]])
        seen = await session.recurring("q", ["r"])
        assert seen.fired == {"r": 1_000}
        assert side.asked("q", "r") > seen.now - 86_400_000
        side.wire.call("CONFIG", "SET", "maxmemory", 0)
        assert await session.fire("q", "r", 1_000, 2_000, [RAWS[0]])


async def test_a_look_seldom_writes(rig: Rig) -> None:
    """A name that was asked for not long ago isn't dated anew: looks are many."""
    side = real(rig)
    async with rig.broker.join(rig.member()) as session:
        side.noted("q", "r", 1_000, 86_400_000)
        before = side.asked("q", "r")
        await session.recurring("q", ["r"])
        assert side.asked("q", "r") == before


async def test_a_note_that_nobody_can_read_is_none(rig: Rig) -> None:
    """A field that somebody else has written counts as new, and is written over."""
    side = real(rig)
    side.wire.call("HSET", keys.recurring("q"), "r", "yesterday")
    async with rig.broker.join(rig.member()) as session:
        assert (await session.recurring("q", ["r"])).fired == {"r": None}
        assert await session.fire("q", "r", None, 1_000, [])
        assert (await session.recurring("q", ["r"])).fired == {"r": 1_000}


async def test_scripts_come_back_after_a_restart(rig: Rig) -> None:
    """A server that knows no scripts is sent their text."""
    side = real(rig)
    side.wire.call("SCRIPT", "FLUSH")
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        side.wire.call("SCRIPT", "FLUSH")
        assert (await session.take("q", 1)).raws == (RAWS[0],)
        assert await session.settle("q", [done(0)]) == [Settled.DONE]


def test_a_refusal_is_told(rig: Rig) -> None:
    """What the server refuses comes back in words, and the task stays held."""
    side = real(rig)
    rig.ghost([RAWS[0]])
    side.wire.call("SET", keys.dead("q"), "no stream")
    statuses, refusal, _ = drive(
        scripts.settle(side.call, "q", "ghost#1", 1, [put_away(RAWS[0], "t0")])
    )
    assert statuses == [Settled.FAILED]
    assert "WRONGTYPE" in refusal
    assert side.held("q", "ghost#1") == [RAWS[0]]
