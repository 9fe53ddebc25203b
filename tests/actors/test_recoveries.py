"""What becomes of a worker's tasks when it dies, is cut off, or loses replies."""

import random
from itertools import count
from typing import Any

import anyio
import pytest

from actors import UnreachableError, Worker
from tests.actors.stage import Q, Stage, body, busy, until

pytestmark = [pytest.mark.anyio, pytest.mark.virtual]

HOARDING = {"horizon": 100.0, "patience": 3_600.0}


async def holding(stage: Stage, host: anyio.abc.TaskGroup, names: list[str]) -> Worker:
    """Start a worker that can be killed, running 2 long naps and holding the others."""
    victim = stage.worker(worker_id="victim", settings=HOARDING)
    host.start_soon(stage.mortal, victim)
    await stage.warm_up()
    await stage.push_naps(names, 600)
    await until(lambda: stage.load(victim) == (2, len(names) - 2))
    return victim


async def test_a_dead_workers_tasks_run_elsewhere_within_5_seconds(stage: Stage) -> None:
    """After a kill another worker with free slots runs all that was held, in order (I3, I4)."""
    names = [f"t{number}" for number in range(6)]
    async with anyio.create_task_group() as host:
        victim = await holding(stage, host, names)
        stage.started.clear()
        async with stage.working(concurrency=10) as heir:
            await anyio.sleep(10)
            assert stage.started == []
            killed = anyio.current_time()
            stage.kill(victim)
            await until(lambda: len(stage.started) == 6)

            assert anyio.current_time() - killed <= 5
            # Those that may have begun are first asked about for what they have saved.
            assert set(stage.started) == set(names)
            assert [name for name in stage.started if name in names[2:]] == names[2:]
            assert heir.statistics().reclaimed == 6
            await heir.stop(grace=0)

    # Only what could have begun counts a death (I7).
    deaths = [stage.field(raw, "deaths") for raw in stage.memory.store.queue(Q).waiting]
    assert deaths == [1, 1, None, None, None, None]
    assert stage.answered() == []


async def test_a_worker_that_left_in_order_leaves_nothing_to_recover(stage: Stage) -> None:
    """After a drain there is no holder, no lease and nothing to wait for."""
    async with stage.working() as worker:
        await stage.run("nap")
        assert len(stage.memory.store.queue(Q).leases) == 1
        await worker.stop()
        state = stage.memory.store.queue(Q)
        assert (state.leases, state.holders, state.inflight) == ({}, {}, {})


async def test_a_task_of_which_three_workers_died_is_put_away(stage: Stage) -> None:
    """A poison pill is answered with a failure and lies in the dead letters (I7)."""
    workers: dict[str, Worker] = {}

    @stage.handlers.on("poison")
    async def poison(_: dict[str, Any], context: Any) -> None:
        stage.started.append(context.worker_id)
        stage.kill(workers[context.worker_id])
        await anyio.sleep_forever()

    async with anyio.create_task_group() as host:
        for name in ("one", "two", "three", "four"):
            workers[name] = stage.worker(worker_id=name)
            host.start_soon(stage.mortal, workers[name])
        task_id = await stage.push("poison")
        answer = await stage.answer(task_id)
        following = await stage.run("nap")
        (survivor,) = set(workers) - set(stage.started)
        await workers[survivor].stop()

    assert len(stage.started) == 4
    assert answer["result"] == {
        "error": "3 workers have died while they were running it",
        "error_type": "poison_pill",
    }
    assert following["worker_id"] == answer["worker_id"] == survivor
    assert stage.dead() == [(task_id, "poison_pill")]


async def test_a_crash_is_seen_and_what_was_held_is_recovered(stage: Stage) -> None:
    """The error comes out of `run` alone, not wrapped in groups, and another worker goes on."""
    network = stage.broker.network("victim")
    worker = stage.worker(worker_id="victim", concurrency=1)
    seen: list[BaseException] = []

    async def crash() -> None:
        try:
            await worker.run()
        except ZeroDivisionError as error:
            seen.append(error)

    async with anyio.create_task_group() as host:
        host.start_soon(crash)
        await stage.push_naps(["t"], 600)
        await until(lambda: stage.started)
        network.breaks["look"] = ZeroDivisionError("a bug")
        await until(lambda: seen, "the crash is seen")
        assert stage.running == 0
        # Its lease is given back and its task is not: it is still to be found.
        assert stage.inflight() == ["t"]
        async with stage.working() as heir:
            await until(lambda: len(stage.started) == 2, "it runs elsewhere")
            await heir.stop(grace=0)

    assert [str(error) for error in seen] == ["a bug"]


async def test_a_worker_that_was_away_drops_what_was_taken_over(stage: Stage) -> None:
    """A running task that was reclaimed is cancelled here and answered once, elsewhere (I2)."""
    network = stage.broker.network("late")
    over = anyio.Event()
    cancelled: list[str] = []

    @stage.handlers.on("wait")
    async def wait(_: dict[str, Any], context: Any) -> str:
        stage.started.append(context.worker_id)
        try:
            await over.wait()
        except anyio.get_cancelled_exc_class():
            cancelled.append(context.worker_id)
            raise
        return "done"

    async with stage.working(worker_id="late") as late:
        task_id = await stage.push("wait")
        await until(lambda: stage.started == ["late"])
        async with stage.working(worker_id="heir"):
            network.freeze()
            await until(lambda: stage.started == ["late", "heir"], "it runs elsewhere")
            network.thaw()
            await until(lambda: cancelled == ["late"], "the late one is cancelled")
            over.set()
            answer = await stage.answer(task_id)
        await until(lambda: (late.statistics().unsettled, late.statistics().running) == (0, ()))

        # It is a worker like others again.
        assert (await stage.run("nap"))["worker_id"] == "late"

    assert answer["worker_id"] == "heir"
    assert stage.answered().count(task_id) == 1
    assert cancelled == ["late"]


async def test_an_answer_of_a_late_worker_is_dropped(stage: Stage) -> None:
    """What a cut-off worker finished meanwhile is stale if another has it: one answer (I2)."""
    network = stage.broker.network("late")
    async with stage.working(worker_id="late", concurrency=1) as late:
        await stage.push_naps(["t"], 6)
        await until(lambda: stage.started)
        async with stage.working(worker_id="heir", concurrency=1):
            network.freeze()
            await until(lambda: stage.finished.count("t") == 1, "the late one has finished")
            await until(lambda: len(stage.started) == 2)
            network.thaw()
            answer = await stage.answer("t")
            await until(lambda: late.statistics().unsettled == 0)

    assert stage.answered() == ["t"]
    assert answer["worker_id"] == "heir"
    assert late.statistics().stale == 1


async def test_a_short_cut_takes_nothing_from_a_living_worker(stage: Stage) -> None:
    """A worker that is away for 3 s keeps its task and answers it (I5)."""
    network = stage.broker.network("cut")
    async with stage.working(worker_id="cut"), stage.working(worker_id="other") as other:
        names = [f"t{number}" for number in range(4)]
        await stage.push_naps(names, 20)
        await until(lambda: len(stage.started) == 4)
        for _ in range(3):
            network.freeze()
            await anyio.sleep(3)
            network.thaw()
            await anyio.sleep(1.1)
        for name in names:
            await stage.answer(name)

        assert other.statistics().reclaimed == 0
    assert len(stage.started) == 4


async def test_an_outage_for_all_reclaims_nothing(stage: Stage) -> None:
    """When nobody reaches the server for long, nobody is declared dead afterwards (I5)."""
    networks = [stage.broker.network(name) for name in ("one", "two")]
    async with stage.working(worker_id="one") as one, stage.working(worker_id="two") as two:
        names = [f"t{number}" for number in range(4)]
        await stage.push_naps(names, 30)
        await until(lambda: len(stage.started) == 4)
        for network in networks:
            network.freeze()
        await anyio.sleep(15)
        for network in networks:
            network.thaw()
        for name in names:
            await stage.answer(name)

        assert one.statistics().reclaimed + two.statistics().reclaimed == 0
    assert sorted(stage.started) == sorted(stage.answered()) == names


async def test_who_cannot_renew_declares_nobody_dead(stage: Stage) -> None:
    """What kept a worker from renewing may have kept the others from it: no evidence (I5)."""
    networks = [stage.broker.network(name) for name in ("one", "two")]
    async with stage.working(worker_id="one") as one, stage.working(worker_id="two") as two:
        names = [f"t{number}" for number in range(4)]
        await stage.push_naps(names, 30)
        await until(lambda: len(stage.started) == 4)
        for network in networks:
            network.mute = True
        await anyio.sleep(10)
        for network in networks:
            network.mute = False
            await anyio.sleep(1.5)
        for name in names:
            await stage.answer(name)

        assert one.statistics().reclaimed + two.statistics().reclaimed == 0
    assert sorted(stage.started) == names


@pytest.mark.parametrize("name", ["take", "wait"])
async def test_a_task_whose_delivery_was_lost_is_found_at_once(stage: Stage, name: str) -> None:
    """After a lost reply the worker looks at what it holds; it doesn't wait for the audit."""
    network = stage.broker.network("w")
    async with stage.working(worker_id="w", concurrency=1):
        await until(lambda: network.calls[-1] == "wait")
        if name == "take":
            await stage.push_naps(["first"], 1)
            await until(lambda: stage.started)
            await stage.push_naps(["t"])
        calls = count()
        network.loses = lambda called: called == name and next(calls) == 0
        if name == "wait":
            await stage.push_naps(["t"])
        await stage.answer("t")

        assert next(calls) >= 1, "the reply was lost"
        assert anyio.current_time() < 1.5


async def test_nothing_is_begun_while_the_lease_is_in_doubt(stage: Stage) -> None:
    """What lies in the buffer of a cut-off worker isn't run there any more: others have it."""
    network = stage.broker.network("late")
    names = [f"t{number}" for number in range(6)]
    async with stage.working(worker_id="late", concurrency=1, settings=HOARDING) as late:
        await stage.warm_up()
        await stage.push_naps(names, 4)
        await until(lambda: stage.load(late) == (1, 5))
        async with stage.working(worker_id="heir", concurrency=1):
            network.freeze()
            await anyio.sleep(60)
            assert stage.finished.count("t0") == 2
            assert [name for name in stage.started if name != "t0"] == names[1:]
            network.thaw()
            await until(lambda: late.statistics().unsettled == 0)
            await anyio.sleep(10)

    assert sorted(stage.answered()) == names
    assert [name for name in stage.started if name != "t0"] == names[1:]


CALLS = ["take", "wait", "held", "release", "settle", "beat", "look", "inflight", "reclaim"]


@pytest.mark.parametrize("kind", ["loses", "fails"])
@pytest.mark.parametrize("name", [*CALLS, "all"])
async def test_a_lost_call_loses_no_task(stage: Stage, name: str, kind: str) -> None:
    """Whichever call or reply is lost, half of the time: each task is answered once (I1, I2)."""
    network = stage.broker.network("w")
    dice = random.Random(f"{name} {kind}")

    def decide(called: str) -> bool:
        return called != "join" and name in {called, "all"} and dice.random() < 0.5

    setattr(network, kind, decide)
    names = [f"t{number:03}" for number in range(60)]
    async with stage.working(worker_id="w", settings={"patience": 0.02, "horizon": 0.05}):
        for first in range(0, 60, 10):
            await stage.push_naps(names[first : first + 10], 0.01 * (first % 4))
            await anyio.sleep(0.1)
        # Two that look alike in every byte stay two.
        for _ in range(2):
            await stage.memory.push_raw(Q, body("twin"))
        for task_id in [*names, "twin"]:
            await stage.answer(task_id)
        await until(lambda: stage.answered().count("twin") == 2)

    assert sorted(stage.answered()) == sorted([*names, "twin", "twin"])
    assert sorted(stage.started) == sorted(stage.answered())
    assert (stage.queued(), stage.inflight()) == ([], [])


@pytest.mark.parametrize("kind", ["loses", "fails"])
async def test_a_lost_hand_back_is_not_sent_again_blindly(stage: Stage, kind: str) -> None:
    """At a stop with lost replies, what was buffered is back in order, and none of it twice."""
    names = [f"t{number:02}" for number in range(10)]
    network = stage.broker.network("w")
    async with stage.working(worker_id="w", concurrency=1, settings=HOARDING) as worker:
        await stage.warm_up()
        await stage.push_naps(names, 1)
        await until(lambda: stage.load(worker) == (1, 9))
        calls = count()
        setattr(network, kind, lambda name: name == "release" and next(calls) < 3)
        await worker.stop()

    assert (stage.queued(), stage.answered(), stage.inflight()) == (names[1:], names[:1], [])


@pytest.mark.parametrize("kind", ["loses", "fails"])
async def test_a_lost_hand_back_of_running_tasks_leaves_none_behind(
    stage: Stage, kind: str
) -> None:
    """What was cancelled at the end of the grace is given back in spite of a lost reply."""
    network = stage.broker.network("w")
    async with stage.working(worker_id="w") as worker:
        await stage.push_naps(["a", "b"], 600)
        await until(lambda: len(stage.started) == 2)
        calls = count()
        setattr(network, kind, lambda name: name == "release" and next(calls) < 2)
        await worker.stop(grace=1)

    assert (stage.queued(), stage.inflight()) == (["a", "b"], [])


async def test_a_stopped_worker_with_lost_tasks_says_so(stage: Stage, lines: list[str]) -> None:
    """What could not be settled in time is named in the log, and comes back by recovery."""
    network = stage.broker.network("w")
    async with stage.working(worker_id="w") as worker:
        await stage.push_naps(["t-unsettled"], 1)
        await until(lambda: stage.started)
        network.fails = lambda name: name == "settle"
        await worker.stop(grace=2)
        assert worker.statistics().unsettled == 1

    assert [line for line in lines if "could not be settled" in line and "t-unsettled" in line]
    async with stage.working():
        assert (await stage.answer("t-unsettled"))["success"] is True
    assert stage.answered() == ["t-unsettled"]


async def test_a_server_that_cannot_be_joined_is_an_error(stage: Stage) -> None:
    """A broker's error while joining comes out of `run` as it is."""
    stage.broker.network("w").breaks["join"] = UnreachableError("no server")

    with pytest.raises(UnreachableError, match="no server"):
        await stage.worker(worker_id="w").run()


async def test_a_stalled_worker_counts_as_dead_to_others_only_after_the_lapse(
    stage: Stage,
) -> None:
    """A worker that is cut off runs on: what it runs isn't touched before others reclaim it."""
    network = stage.broker.network("cut")
    async with stage.working(worker_id="cut") as worker:
        await stage.push_naps(["t"], 60)
        await until(lambda: stage.started)
        network.freeze()
        await anyio.sleep(30)
        assert busy(worker.statistics()) == ["t"]
        network.thaw()
        answer = await stage.answer("t")

    assert (answer["worker_id"], stage.started) == ("cut", ["t"])
