"""Tasks that wait for their time: what every broker must do."""

from datetime import UTC, datetime, timedelta

import pytest

from actors import Delay, Settled, Settlement, Taken
from tests.brokers.conftest import Rig
from tests.brokers.test_conformance import RAWS

pytestmark = pytest.mark.anyio

BODIES = [raw.replace(b"}", b',"nonce":"n"}') for raw in RAWS]


def later(
    number: int, after: float | None = None, at: datetime | None = None, raw: bytes | None = None
) -> Settlement:
    """Return a task's way to the delayed ones."""
    delay = Delay(BODIES[number], after, at)
    return Settlement(RAWS[number] if raw is None else raw, f"t{number}", None, delay=delay)


async def test_a_delayed_task_comes_back_at_the_tail(rig: Rig) -> None:
    """It is held no more, waits in its new bytes, and goes behind what was pushed meanwhile."""
    await rig.push(RAWS[0], RAWS[1])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        assert await session.settle("q", [later(0, after=0)]) == [Settled.DONE]
        assert await session.held("q") == []
        assert (rig.view().waiting, rig.view().delayed) == ((RAWS[1],), {BODIES[0]})
        promoted = await session.promote("q", 10)
        assert (promoted.leads, promoted.moved, promoted.wait) == (True, 1, float("inf"))
        assert (rig.view().waiting, rig.view().delayed) == ((RAWS[1], BODIES[0]), set())
        assert (rig.seen().results, rig.seen().published) == ({}, ())


async def test_a_waiting_member_gets_what_is_promoted(rig: Rig) -> None:
    """A promoted task is taken as a pushed one is."""
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
        await session.settle("q", [later(0, after=0)])
        await session.promote("q", 10)
        assert await session.wait(["q"]) == [("q", Taken((BODIES[0],)))]
        await session.release("q", [BODIES[0]])


async def test_what_is_not_due_stays(rig: Rig) -> None:
    """It waits for its time by the server's clock, and the look tells for how long."""
    await rig.push(*RAWS[:2])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 2)
        far = datetime.now(UTC) + timedelta(seconds=1800)
        await session.settle("q", [later(0, after=3600), later(1, at=far)])
        promoted = await session.promote("q", 10)
        assert (promoted.leads, promoted.moved) == (True, 0)
        assert 1700 < promoted.wait <= 1801
        assert rig.view().delayed == set(BODIES[:2])


async def test_what_is_due_first_goes_first(rig: Rig) -> None:
    """The order is that of the times, whatever was settled first; a call moves so many at most."""
    await rig.push(*RAWS[:4])
    early = datetime.now(UTC) - timedelta(hours=1)
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 4)
        for number in (2, 0, 3, 1):
            at = early + timedelta(seconds=number)
            await session.settle("q", [later(number, at=at)])
        first = await session.promote("q", 3)
        assert (first.moved, first.wait) == (3, 0)
        assert rig.view().waiting == tuple(BODIES[:3])
        assert (await session.promote("q", 3)).moved == 1
        assert rig.view().waiting == tuple(BODIES[:4])


async def test_one_of_all_members_leads(rig: Rig) -> None:
    """Who has looked first goes on to look; the others learn when to ask again."""
    await rig.push(RAWS[0])
    async with (
        rig.broker.join(rig.member("a#1")) as first,
        rig.broker.join(rig.member("b#1")) as second,
    ):
        assert (await first.promote("q", 10)).leads
        await second.take("q", 1)
        await second.settle("q", [later(0, after=0)])
        follower = await second.promote("q", 10)
        assert (follower.leads, follower.moved) == (False, 0)
        assert 0 <= follower.wait <= 1
        assert (await first.promote("q", 10)).moved == 1


async def test_what_is_not_held_is_not_delayed(rig: Rig) -> None:
    """A task that another worker has isn't put among the delayed ones (I2)."""
    async with rig.broker.join(rig.member()) as session:
        assert await session.settle("q", [later(0, after=0)]) == [Settled.STALE]
        assert rig.view().delayed == set()
