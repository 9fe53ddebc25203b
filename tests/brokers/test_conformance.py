"""What every broker must do: one suite for the in-memory broker and for Redis."""

from collections.abc import Callable

import anyio
import pytest

from actors import LeaseLapsedError, Settled, Settlement, Taken
from messages import DeadLetter, Reason
from runtime.redis import keys
from tests.brokers.conftest import Rig
from tests.brokers.model import NOON, task

pytestmark = pytest.mark.anyio

RAWS = [task(f"t{number}", number) for number in range(8)]


def done(number: int, raw: bytes | None = None) -> Settlement:
    """Return a success."""
    answer = f'{{"task_id": "t{number}", "worker_id": "w"}}'.encode()
    return Settlement(RAWS[number] if raw is None else raw, f"t{number}", answer)


def put_away(raw: bytes, task_id: str | None) -> Settlement:
    """Return a rejection."""
    letter = DeadLetter(raw, Reason.REJECTED, "no", "w", NOON, task_id)
    answer = f'{{"task_id": "{task_id}"}}'.encode() if task_id else None
    return Settlement(raw, task_id, answer, letter)


def taken_of(found: Taken) -> list[bytes]:
    """Return the bodies that were taken."""
    return list(found.raws)


async def until(predicate: Callable[[], bool]) -> None:
    """Poll until something is true; the time-out bounds a failing test, it proves nothing."""
    with anyio.fail_after(20):
        while not predicate():  # noqa: ASYNC110 - a server has no event to wait for
            await anyio.sleep(0.01)


async def test_joining_takes_out_a_lease_and_leaving_gives_it_back(rig: Rig) -> None:
    """A member has a lease on each of its queues from joining to leaving, and then no trace."""
    async with rig.broker.join(rig.member(slots=3, queues=("q", "p"))) as session:
        assert session.fresh()
        for queue in ("q", "p"):
            seen = await session.look(queue)
            assert seen.slots == {"w#1": 3}
            assert set(seen.leases) == {"w#1"}
            assert seen.unleased == {}
    for queue in ("q", "p"):
        assert rig.view(queue).leases == {}
        assert rig.view(queue).holders == frozenset()


async def test_the_pulse_changes(rig: Rig) -> None:
    """The lease is renewed with another value, and stays fresh."""
    async with rig.broker.join(rig.member()) as session:
        first = rig.view().leases["w#1"]
        await until(lambda: rig.view().leases["w#1"] != first)
        assert session.fresh()


async def test_tasks_are_taken_in_order_up_to_the_limit(rig: Rig) -> None:
    """The oldest come first, no more than asked for, and lie in the inflight list in order (I3)."""
    await rig.push(*RAWS[:5])
    async with rig.broker.join(rig.member()) as session:
        assert taken_of(await session.take("q", 2)) == RAWS[:2]
        assert taken_of(await session.take("q", 0)) == []
        assert taken_of(await session.take("q", 9)) == RAWS[2:5]
        assert taken_of(await session.take("q", 9)) == []
        assert await session.held("q") == RAWS[:5]
        await session.release("q", RAWS[:5])


async def test_a_take_ends_at_8_mib(rig: Rig) -> None:
    """No more is taken once 8 MiB are reached, so that a reply stays bounded."""
    big = [bytes([65 + number]) * 3 * 2**20 for number in range(4)]
    await rig.push(*big)
    async with rig.broker.join(rig.member()) as session:
        assert taken_of(await session.take("q", 4)) == big[:3]
        await session.release("q", big[:3])


async def test_a_wait_brings_what_is_pushed(rig: Rig) -> None:
    """A waiting member gets the task and holds it; the queue stays empty."""
    async with rig.broker.join(rig.member()) as session, anyio.create_task_group() as tasks:
        tasks.start_soon(rig.push, RAWS[0])
        taken: list[tuple[str, Taken]] = []
        while not taken:
            taken = await session.wait(["q"])
        assert taken == [("q", Taken((RAWS[0],)))]
        assert await session.held("q") == RAWS[:1]
        assert rig.view().waiting == ()


async def test_a_wait_on_several_queues_brings_from_any(rig: Rig) -> None:
    """One wait serves all queues of the member."""
    await rig.push(RAWS[0], queue="p")
    async with rig.broker.join(rig.member(queues=("q", "p"))) as session:
        assert await session.wait(["q", "p"]) == [("p", Taken((RAWS[0],)))]


async def test_a_wake_before_a_wait_ends_it(rig: Rig) -> None:
    """A wake that comes first isn't lost: the wait doesn't outlast it."""
    async with rig.broker.join(rig.member(queues=("q", "p"))) as session:
        session.wake()
        assert await session.wait(["q", "p"]) == []


async def test_a_wake_ends_a_wait_under_way(rig: Rig) -> None:
    """A wake makes the wait return, with nothing taken, and the next wait is a whole one."""
    async with rig.broker.join(rig.member()) as session, anyio.create_task_group() as tasks:
        waiting = anyio.Event()

        async def wake() -> None:
            await waiting.wait()
            session.wake()

        tasks.start_soon(wake)
        waiting.set()
        assert await session.wait(["q"]) == []
        await rig.push(RAWS[0])
        assert await session.wait(["q"]) == [("q", Taken((RAWS[0],)))]


async def test_an_answer_is_stored_and_published(rig: Rig) -> None:
    """An answer is stored under the contract's key, and published once on both channels."""
    await rig.push(*RAWS[:2])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 2)
        assert await session.settle("q", [done(0), done(1)]) == [Settled.DONE] * 2
        assert await session.held("q") == []
    answers = [done(number).result for number in (0, 1)]
    assert rig.seen().results == {"t0": answers[0], "t1": answers[1]}
    assert [body for name, body in rig.seen().published if name == keys.RESULTS_CHANNEL] == answers
    assert [body for name, body in rig.seen().published if name == keys.result("t0")] == answers[:1]
    assert len(rig.seen().published) == 4


async def test_a_rejection_writes_a_dead_letter(rig: Rig) -> None:
    """A dead letter holds the very bytes; who has an id is answered, who has none isn't."""
    await rig.push(RAWS[0], b"\xff\x00no task")
    async with rig.broker.join(rig.member()) as session:
        first, second = taken_of(await session.take("q", 2))
        batch = [put_away(first, "t0"), put_away(second, None)]
        assert await session.settle("q", batch) == [Settled.DONE] * 2
    assert [one[:4] for one in rig.view().dead] == [
        (b"task", raw, b"reason", b"rejected") for raw in (RAWS[0], b"\xff\x00no task")
    ]
    assert set(rig.seen().results) == {"t0"}
    assert len(rig.seen().published) == 2


async def test_what_is_not_held_is_stale(rig: Rig) -> None:
    """A task that somebody else has is neither answered nor put away (I2)."""
    await rig.push(RAWS[0])
    async with (
        rig.broker.join(rig.member()) as session,
        rig.broker.join(rig.member("w#2")) as other,
    ):
        await other.take("q", 1)
        batch = [done(0), put_away(RAWS[0], "t0"), done(1)]
        assert await session.settle("q", batch) == [Settled.STALE] * 3
        assert rig.seen().results == {}
        assert rig.seen().published == ()
        assert rig.view().dead == ()
        assert await other.settle("q", [done(0)]) == [Settled.DONE]


async def test_equal_bodies_are_settled_one_by_one(rig: Rig) -> None:
    """Of two tasks with the same bytes each settlement ends one."""
    await rig.push(RAWS[0], RAWS[1], RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 3)
        assert await session.settle("q", [done(0)]) == [Settled.DONE]
        assert await session.held("q") == [RAWS[1], RAWS[0]]
        assert await session.settle("q", [done(0), done(0)]) == [Settled.DONE, Settled.STALE]
        assert await session.held("q") == [RAWS[1]]


async def test_a_batch_that_comes_again_does_nothing(rig: Rig) -> None:
    """A batch is known by its number: it answers as before and ends no equal body (I2)."""
    rig.ghost([RAWS[0], RAWS[0], RAWS[1]])
    words = ("q", "ghost#1")
    assert rig.side.settle(*words, 1, [done(0)]) == [Settled.DONE]
    assert rig.side.settle(*words, 1, [done(0)]) == [Settled.DONE]
    assert rig.side.held(*words) == [RAWS[0], RAWS[1]]
    assert rig.side.settle(*words, 2, [done(1)]) == [Settled.DONE]
    rig.side.settle(*words, 1, [done(0)])
    assert rig.side.held(*words) == [RAWS[0]]
    assert len(rig.seen().published) == 4


async def test_released_tasks_go_to_the_head_in_order(rig: Rig) -> None:
    """What is given back starts next, in its old order, and what isn't held is left out (I3)."""
    await rig.push(*RAWS[:5])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 4)
        await session.release("q", [RAWS[1], RAWS[2], RAWS[7]])
        assert rig.view().waiting == (RAWS[1], RAWS[2], RAWS[4])
        assert await session.held("q") == [RAWS[0], RAWS[3]]
        await session.release("q", [RAWS[0], RAWS[3]])
    assert rig.view().waiting == (RAWS[0], RAWS[3], RAWS[1], RAWS[2], RAWS[4])


async def test_of_equal_bodies_the_last_is_released(rig: Rig) -> None:
    """The body that was taken last goes back, so that what began first stays (I7)."""
    await rig.push(RAWS[0], RAWS[1], RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 3)
        await session.release("q", [RAWS[0]])
        assert await session.held("q") == [RAWS[0], RAWS[1]]
        await session.release("q", [RAWS[0], RAWS[1]])


async def test_a_lost_lease_is_noticed(rig: Rig) -> None:
    """Without a lease nothing is taken; it is found out, and isn't fresh until compared (I4)."""
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        # Right after a renewal, so that none comes between the loss and the take.
        first = rig.view().leases["w#1"]
        await until(lambda: rig.view().leases["w#1"] != first)
        rig.side.drop_lease("q", "w#1")
        with pytest.raises(LeaseLapsedError):
            await session.take("q", 1)
        assert rig.view().waiting == (RAWS[0],)
        with anyio.fail_after(20):
            await session.lapsed()
        assert not session.fresh()
        session.verified()
        assert session.fresh()
        assert taken_of(await session.take("q", 1)) == [RAWS[0]]
        await session.release("q", [RAWS[0]])


async def test_equal_worker_ids_do_not_mix(rig: Rig) -> None:
    """Two members with one worker id hold their own tasks, and leave without the other's."""
    await rig.push(*RAWS[:2])
    async with rig.broker.join(rig.member("w#1")) as first:
        await first.take("q", 1)
        async with rig.broker.join(rig.member("w#2")) as second:
            await second.take("q", 1)
            await second.beat(b"second", 60)
            await first.beat(b"first", 60)
            await second.release("q", [RAWS[1]])
        assert await first.held("q") == [RAWS[0]]
        assert set(rig.view().leases) == {"w#1"}
        assert rig.seen().heartbeats == {"w": b"first"}
        await first.release("q", [RAWS[0]])
    assert rig.seen().heartbeats == {}


async def test_leaving_with_tasks_keeps_them_findable(rig: Rig) -> None:
    """Who leaves with tasks gives up the lease and stays listed, so that they are found (I1)."""
    await rig.push(RAWS[0])
    async with rig.broker.join(rig.member()) as session:
        await session.take("q", 1)
    async with rig.broker.join(rig.member("w#2")) as session:
        seen = await session.look("q")
        assert seen.unleased == {"w#1": True}
        assert await session.inflight("q", "w#1") == [RAWS[0]]
