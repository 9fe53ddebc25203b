"""Recurring tasks: what every broker must do."""

import contextlib

import anyio
import pytest

from actors import Session, Taken
from runtime.redis.scripts import RECURRING_KEPT
from tests.brokers.conftest import Rig
from tests.brokers.test_conformance import RAWS

pytestmark = pytest.mark.anyio

DAY = 86_400_000


async def test_who_finds_it_unfired_fires(rig: Rig) -> None:
    """Of two that have seen the same time one pushes; the other pushes and changes nothing."""
    await rig.push(RAWS[0])
    async with (
        rig.broker.join(rig.member("a#1")) as first,
        rig.broker.join(rig.member("b#1")) as second,
    ):
        assert await first.fire("q", "r", None, 1_000, [])
        assert rig.view().waiting == (RAWS[0],)
        assert await second.fire("q", "r", 1_000, 3_000, RAWS[1:3])
        assert not await first.fire("q", "r", 1_000, 3_000, RAWS[1:3])
        assert not await first.fire("q", "r", None, 3_000, RAWS[1:3])
        assert rig.view().waiting == tuple(RAWS[:3])
        assert rig.view().recurring == {"r": 3_000}


async def test_of_many_that_fire_at_once_one_does(rig: Rig) -> None:
    """However many have found a due time unfired, its task is pushed once, each time."""
    async with contextlib.AsyncExitStack() as stack:
        members = [rig.member(f"w{number}#1") for number in range(5)]
        sessions = [await stack.enter_async_context(rig.broker.join(one)) for one in members]
        won: list[int] = []

        async def fire(session: Session, due: int) -> None:
            if await session.fire("q", "r", due - 1 or None, due, [RAWS[due]]):
                won.append(due)

        for due in range(1, 5):
            async with anyio.create_task_group() as group:
                for session in sessions:
                    group.start_soon(fire, session, due)
        assert won == [1, 2, 3, 4]
        assert rig.view().waiting == tuple(RAWS[1:5])


async def test_a_look_tells_how_far_each_was_fired(rig: Rig) -> None:
    """What is new has no time yet; the server's own time comes with it, and goes on."""
    async with rig.broker.join(rig.member()) as session:
        before = await session.recurring("q", ["r", "s"])
        assert before.fired == {"r": None, "s": None}
        assert rig.view().recurring == {}
        await session.fire("q", "r", None, before.now, [])
        await session.fire("q", "t", None, 1_000, [])
        seen = await session.recurring("q", ["s", "r"])
        assert seen.fired == {"s": None, "r": before.now}
        assert before.now <= seen.now < before.now + DAY
        assert seen.now > 1_700_000_000_000


async def test_queues_have_recurring_tasks_of_their_own(rig: Rig) -> None:
    """The same name on another queue is another task."""
    async with rig.broker.join(rig.member(queues=("q", "p"))) as session:
        await session.fire("q", "r", None, 1_000, [RAWS[0]])
        assert (await session.recurring("p", ["r"])).fired == {"r": None}
        assert rig.view("p").waiting == ()


async def test_a_waiting_member_gets_what_is_fired(rig: Rig) -> None:
    """A fired task is taken as a pushed one is, all of them in their order."""
    async with rig.broker.join(rig.member()) as session:
        await session.fire("q", "r", None, 2_000, RAWS[:2])
        assert await session.wait(["q"]) == [("q", Taken((RAWS[0],)))]
        assert (await session.take("q", 2)).raws == (RAWS[1],)
        await session.release("q", RAWS[:2])


async def test_what_nobody_declares_is_forgotten(rig: Rig) -> None:
    """A name that nobody has asked for in a month is dropped; who asks keeps his."""
    async with rig.broker.join(rig.member()) as session:
        for name, age in {"old": 31, "asked": 31, "older": 29, "young": 1}.items():
            rig.side.noted("q", name, 1_000, age * DAY)
        seen = await session.recurring("q", ["asked"])
        assert seen.fired == {"asked": 1_000}
        assert rig.view().recurring == {"asked": 1_000, "older": 1_000, "young": 1_000}
        assert rig.side.asked("q", "asked") > seen.now - DAY
        assert rig.side.asked("q", "young") < seen.now - DAY // 2


async def test_firing_keeps_a_name(rig: Rig) -> None:
    """Who fires a task declares it."""
    async with rig.broker.join(rig.member()) as session:
        rig.side.noted("q", "r", 1_000, 40 * DAY)
        assert await session.fire("q", "r", 1_000, 2_000, [])
        await session.recurring("q", ["other"])
        assert rig.view().recurring == {"r": 2_000}


async def test_a_clock_that_is_set_back_forgets_nothing(rig: Rig) -> None:
    """A name that was asked for in what is now the future is kept; who asks dates it anew."""
    async with rig.broker.join(rig.member()) as session:
        rig.side.noted("q", "r", 1_000, -RECURRING_KEPT)
        assert (await session.recurring("q", ["s"])).fired == {"s": None}
        assert rig.view().recurring == {"r": 1_000}
        seen = await session.recurring("q", ["r"])
        assert rig.side.asked("q", "r") <= seen.now
