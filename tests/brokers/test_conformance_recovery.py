"""What every broker must do about the dead: looks, reclaims, forgetting."""

import anyio
import pytest

from actors import Recovery, Surroundings, Timing
from actors.janitor import Janitor
from actors.recovery import plan_recovery
from actors.state import WorkerState
from tests.brokers.conftest import Rig
from tests.brokers.model import UNDECODABLE, deaths, dict_of, surroundings, task, unchanged
from tests.brokers.test_conformance import until

pytestmark = pytest.mark.anyio

RAWS = [task(f"t{number}", number) for number in range(4)]


def plan(raws: list[bytes], slots: int) -> list[Recovery]:
    return plan_recovery(raws, slots, "janitor", surroundings())


async def test_a_holder_that_lives_is_not_reclaimed(rig: Rig) -> None:
    """Nothing is done when the pulse isn't the one that was seen (I5)."""
    rig.ghost(RAWS)
    before = rig.view()
    async with rig.broker.join(rig.member()) as session:
        for pulse in ("6 2", None, ""):
            assert await session.reclaim("q", "ghost#1", pulse, plan(RAWS, 2)) == 0
        assert rig.view().inflight == before.inflight
        assert rig.view().waiting == ()
        assert rig.view().leases["ghost#1"] == "7 2"


async def test_a_dead_holders_tasks_go_to_the_head_in_order(rig: Rig) -> None:
    """They start next, in their old order; only those that could have begun count a death."""
    pulse = rig.ghost(RAWS[:3], slots=2)
    await rig.push(RAWS[3])
    async with rig.broker.join(rig.member()) as session:
        raws = await session.inflight("q", "ghost#1")
        assert await session.reclaim("q", "ghost#1", pulse, plan(raws, 2)) == 3
        assert "ghost#1" not in rig.view().leases
        assert "ghost#1" in rig.view().holders
    waiting = rig.view().waiting
    assert [unchanged(raw) for raw in waiting] == [unchanged(raw) for raw in RAWS]
    assert [deaths(raw) for raw in waiting] == [1, 1, 0, 0]
    assert waiting[2:] == (RAWS[2], RAWS[3])
    assert rig.view().inflight == {}


async def test_poison_and_what_cannot_be_read_are_buried(rig: Rig) -> None:
    """A third death and a body that can't carry one end in dead letters; ids are answered."""
    raws = [task("t0", 9, 2), UNDECODABLE[0], RAWS[1]]
    fates = [*plan(raws[:1], 1), *plan(raws[1:], 2)]
    pulse = rig.ghost(raws, slots=3)
    async with rig.broker.join(rig.member()) as session:
        assert await session.reclaim("q", "ghost#1", pulse, fates) == 3
    letters = [dict_of(one) for one in rig.view().dead]
    assert {one[b"task"]: one[b"reason"] for one in letters} == {
        raws[0]: b"poison_pill",
        raws[1]: b"malformed",
    }
    assert set(rig.seen().results) == {"t0"}
    assert len(rig.seen().published) == 2
    assert len(rig.view().waiting) == 1


async def test_a_list_that_has_grown_is_left_alone(rig: Rig) -> None:
    """A task that a late wait has brought since the look isn't mistaken for another (I1)."""
    pulse = rig.ghost(RAWS[:2])
    await rig.push(RAWS[2])
    rig.side.move("q", "ghost#1")
    async with rig.broker.join(rig.member()) as session:
        assert await session.reclaim("q", "ghost#1", pulse, plan(RAWS[:2], 2)) == 0
        assert rig.view().inflight["ghost#1"] == tuple(RAWS[:3])
        assert rig.view().leases["ghost#1"] == pulse


async def test_who_owns_something_is_not_forgotten(rig: Rig) -> None:
    """A holder is dropped only when it owns neither a lease nor a task (I1)."""
    pulse = rig.ghost(RAWS[:1])
    async with rig.broker.join(rig.member()) as session:
        await session.forget("q", "ghost#1")
        assert "ghost#1" in rig.view().holders
        rig.side.drop_lease("q", "ghost#1")
        await session.forget("q", "ghost#1")
        assert "ghost#1" in rig.view().holders
        assert await session.reclaim("q", "ghost#1", None, plan(RAWS[:1], 0)) == 1
        rig.side.renew("q", "ghost#1", 7, 2)
        await session.forget("q", "ghost#1")
        assert rig.view().leases["ghost#1"] == pulse
        assert "ghost#1" in rig.view().holders
        rig.side.drop_lease("q", "ghost#1")
        await session.forget("q", "ghost#1")
        assert "ghost#1" not in rig.view().holders


async def test_a_look_shows_pulses_and_those_without_one(rig: Rig) -> None:
    """A look tells leases, slots, and of holders without a lease whether they own tasks (I4)."""
    rig.ghost(RAWS[:1], holder="full#1")
    rig.ghost([], holder="empty#1")
    rig.ghost([], slots=5, holder="leased#1")
    for holder in ("full#1", "empty#1"):
        rig.side.drop_lease("q", holder)
    async with rig.broker.join(rig.member()) as session:
        seen = await session.look("q")
    assert seen.leases["leased#1"] == "7 5"
    assert seen.slots == {"leased#1": 5, "w#1": 2}
    assert seen.unleased == {"full#1": True, "empty#1": False}


async def test_a_list_longer_than_one_call_is_recovered_in_order(rig: Rig) -> None:
    """The Janitor brings 2,500 tasks back, in several calls, in their old order (I3)."""
    raws = [task("t0", number) for number in range(2500)]
    rig.ghost(raws, slots=3)
    async with rig.broker.join(rig.member()) as session, anyio.create_task_group() as tasks:
        state = WorkerState(2)
        timing = Timing(lapse=1.9, interval=0.1, prompt=1.0, gap=5.0)
        janitor = Janitor(("q",), session, state, "w", Surroundings(), timing)
        tasks.start_soon(janitor.run)
        await until(lambda: len(rig.view().waiting) == 2500)
        tasks.cancel_scope.cancel()
    waiting = rig.view().waiting
    assert [unchanged(raw) for raw in waiting] == [unchanged(raw) for raw in raws]
    assert [deaths(raw) for raw in waiting[:4]] == [1, 1, 1, 0]
    assert waiting[3:] == tuple(raws[3:])
