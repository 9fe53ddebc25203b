import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from actors import Worker, WorkerError
from tests.actors.stage import Q, Stage, body, busy, until

pytestmark = pytest.mark.anyio

NAMES = [f"t{number:02}" for number in range(22)]

# A buffer of 20 behind two slots: much is fetched ahead, and it may wait.
HOARDING = {"horizon": 100.0, "patience": 3_600.0}


async def filled(stage: Stage, worker: Worker, seconds: float) -> None:
    """Let a hoarding worker run 2 tasks and hold 20 more."""
    await stage.warm_up()
    await stage.push_naps(NAMES, seconds)
    await until(lambda: stage.load(worker) == (2, 20), "20 are buffered")
    assert stage.queued() == []
    assert busy(worker.statistics()) == NAMES[:2]


async def test_stop_lets_what_runs_finish_and_gives_the_rest_back(stage: Stage) -> None:
    """With 2 running and 20 buffered: the 2 are answered, the 20 are queued in order (I3, I6)."""
    async with stage.working(settings=HOARDING) as worker:
        await filled(stage, worker, 0.5)

        await worker.stop()

        assert stage.queued() == NAMES[2:]
        assert sorted(stage.finished) == sorted(stage.started) == NAMES[:2]
        assert sorted(stage.answered()) == NAMES[:2]
        assert (stage.inflight(), stage.memory.members()) == ([], ())
        assert worker.statistics().released == 20


async def test_a_grace_shorter_than_the_tasks_gives_all_back(stage: Stage) -> None:
    """What still runs after the grace is cancelled; all 22 are back in order, nothing counted."""
    async with stage.working(settings=HOARDING) as worker:
        await filled(stage, worker, 3_600)
        (given,) = map(tuple, stage.memory.store.queue(Q).inflight.values())

        await worker.stop(grace=0.2)

        assert stage.queued() == NAMES
        # The very bytes: neither an attempt nor a death was counted (I7, I8).
        assert tuple(stage.memory.store.queue(Q).waiting) == given
        assert (stage.answered(), stage.finished, stage.inflight()) == ([], [], [])


@pytest.mark.virtual
async def test_the_grace_ends_when_it_was_said(stage: Stage) -> None:
    """A task that ends within the grace is answered, one that doesn't is given back."""
    async with stage.working(settings={"grace": 30}) as worker:
        await stage.push_naps(["short"], 29)
        await stage.push_naps(["long"], 31)
        await until(lambda: len(stage.started) == 2)
        began = anyio.current_time()

        await worker.stop()

        assert (stage.answered(), stage.queued()) == (["short"], ["long"])
        assert 30 <= anyio.current_time() - began < 31


@pytest.mark.virtual
async def test_a_cancelled_host_drains_within_the_short_grace(stage: Stage) -> None:
    """Who cancels the worker's scope is obeyed soon, and still nothing is lost or left behind."""
    worker = stage.worker(concurrency=3, settings={"cancel_grace": 5.0})
    async with anyio.create_task_group() as host:
        await host.start(worker.run)
        await stage.push_naps(["short"], 2)
        await stage.push_naps(["long", "longer"], 60)
        await stage.push_naps(["queued"], 60)
        await until(lambda: len(stage.started) == 3)
        began = anyio.current_time()
        host.cancel_scope.cancel()

    assert anyio.current_time() - began <= 5
    assert (stage.answered(), stage.queued()) == (["short"], ["long", "longer", "queued"])
    assert (stage.inflight(), stage.memory.members()) == ([], ())


async def test_a_cancelled_host_is_obeyed(stage: Stage) -> None:
    """Cancelling the scope ends the worker on both event loops, its task given back."""
    worker = stage.worker(settings={"cancel_grace": 0.1})
    async with anyio.create_task_group() as host:
        await host.start(worker.run)
        await stage.push_naps(["t"], 3_600)
        await until(lambda: stage.started)
        host.cancel_scope.cancel()

    assert (stage.queued(), stage.inflight(), stage.memory.members()) == (["t"], [], ())


@pytest.mark.virtual
async def test_a_second_request_shortens_the_grace(stage: Stage) -> None:
    """`hurry` ends a drain soon that had a long time; a longer grace later changes nothing."""
    async with stage.working() as worker:
        await stage.push_naps(["t"], 3_600)
        await until(lambda: stage.started)
        worker.request_stop(grace=3_000)
        await anyio.sleep(100)
        assert busy(worker.statistics()) == ["t"]
        began = anyio.current_time()

        worker.hurry()
        worker.request_stop(grace=3_000)
        await worker.stop()

        assert anyio.current_time() - began <= 5
        assert stage.queued() == ["t"]


async def test_stopping_twice_is_stopping_once(stage: Stage) -> None:
    """Any number of stops, at the same time or later, return when the worker has ended."""
    async with stage.working() as worker:
        await stage.push_naps(["t"], 0.05)
        await until(lambda: stage.started)
        async with anyio.create_task_group() as several:
            several.start_soon(worker.stop)
            several.start_soon(worker.stop)
        await worker.stop()

        assert stage.answered() == ["t"]


async def test_a_cancelled_stop_stops_all_the_same(stage: Stage) -> None:
    """A cancellation of `stop` ends the waiting, not the drain."""
    worker = stage.worker()
    async with anyio.create_task_group() as host:
        await host.start(worker.run)
        await stage.push_naps(["t"], 0.1)
        await until(lambda: stage.started)
        with anyio.CancelScope() as impatient:
            impatient.cancel()
            await worker.stop()

    assert stage.answered() == ["t"]


async def test_a_worker_runs_once(stage: Stage) -> None:
    """A second `run`, during the first or after it, is an error that says what to do."""
    async with stage.working() as worker:
        with pytest.raises(WorkerError, match="was run before; make a new one"):
            await worker.run()
    with pytest.raises(WorkerError, match="was run before; make a new one"):
        await worker.run()


async def test_a_stop_before_the_run_is_not_lost(stage: Stage) -> None:
    """Who starts a worker in the background and stops it at once is obeyed."""
    await stage.push_naps(["t"])
    worker = stage.worker()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as host:
            host.start_soon(worker.run)
            await worker.stop()

    assert stage.queued() == ["t"]


async def test_a_stop_while_joining_ends_the_worker(stage: Stage) -> None:
    """A worker that waits for its server can be stopped; it never begins."""
    stage.broker.network("w").freeze()
    worker = stage.worker(worker_id="w")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as host:
            host.start_soon(worker.run)
            await until(lambda: stage.broker.network("w").calls == ["join"])
            await worker.stop()

    assert stage.memory.members() == ()


@pytest.mark.parametrize("when", ["before", "while"])
async def test_a_cancellation_while_joining_ends_the_worker(stage: Stage, when: str) -> None:
    """A host that is cancelled before the server was reached isn't held up by it."""
    network = stage.broker.network("w")
    network.freeze()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as host:
            host.start_soon(stage.worker(worker_id="w").run)
            if when == "while":
                await until(lambda: network.calls)
            host.cancel_scope.cancel()


async def test_no_handler_begins_after_a_stop(stage: Stage) -> None:
    """Not even when the server is slow at that moment: what was held goes back (I6)."""
    network = stage.broker.network("w")
    async with stage.working(concurrency=1, worker_id="w", settings=HOARDING) as worker:
        await stage.warm_up()
        await stage.push_naps(["a", "b", "c"], 0.1)
        await until(lambda: stage.load(worker) == (1, 2))
        network.delay = lambda _: 0.5
        await stage.push_naps(["d", "e"], 0.1)
        async with anyio.create_task_group() as stopping:
            stopping.start_soon(worker.stop)
            await until(lambda: "a" in stage.finished)
        network.delay = lambda _: 0

    assert stage.started == ["a"]
    assert stage.queued() == ["b", "c", "d", "e"]


@pytest.mark.virtual
@pytest.mark.parametrize("call", ["take", "wait", "held", "release", "settle", "all"])
async def test_a_server_out_of_reach_holds_up_no_stop(stage: Stage, call: str) -> None:
    """A worker whose server doesn't answer ends when its time is up; its tasks come back later."""
    network = stage.broker.network("w")
    async with stage.working(worker_id="w", settings=HOARDING) as worker:
        await stage.push_naps(["done"], 1)
        await stage.push_naps(["running"], 3_600)
        await stage.push_naps(["more"], 3_600)
        await until(lambda: len(stage.started) == 2)
        if call == "all":
            network.freeze()
        else:
            network.delay = lambda name: 10_000 if name == call else 0
        await stage.push_naps(["later"], 3_600)
        await anyio.sleep(2)
        began = anyio.current_time()

        await worker.stop(grace=10)

        assert anyio.current_time() - began <= 16
    held = stage.inflight() + stage.queued() + stage.answered()
    assert sorted(held) == ["done", "later", "more", "running"]


@pytest.mark.virtual
async def test_what_a_cancelled_handler_raises_counts_for_nothing(stage: Stage) -> None:
    """A handler whose library turns a cancellation into an error is given back all the same."""

    @stage.handlers.on("wrap")
    async def wrap(_: dict[str, Any]) -> None:
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001 - the case
            raise ConnectionError("interrupted") from None

    async with stage.working() as worker:
        await stage.memory.push_raw(Q, body("t", "wrap"))
        await until(lambda: worker.statistics().running)
        await worker.stop(grace=1)

    assert (stage.queued(), stage.answered()) == (["t"], [])


@pytest.mark.virtual
async def test_a_handler_that_finishes_in_spite_of_its_cancellation_is_answered(
    stage: Stage,
) -> None:
    """What was done by the end of the grace is done, and needn't be done again."""

    @stage.handlers.on("stubborn")
    async def stubborn(_: dict[str, Any]) -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.2)
            return "done"

    async with stage.working() as worker:
        await stage.memory.push_raw(Q, body("t", "stubborn"))
        await until(lambda: worker.statistics().running)
        await worker.stop(grace=1)

        answer = await stage.answer("t")
        assert (answer["success"], answer["result"]) == (True, {"value": "done"})


@pytest.mark.real_time
async def test_a_thread_that_hangs_is_left_behind(stage: Stage) -> None:
    """A `def` handler that can't be cancelled: its task is released, its thread is named."""
    over = threading.Event()

    @stage.handlers.on("stuck")
    def stuck(_: dict[str, Any]) -> None:
        over.wait()

    try:
        async with stage.working() as worker:
            await stage.memory.push_raw(Q, body("t", "stuck"))
            await until(lambda: worker.statistics().left_behind)
            await worker.stop(grace=0)

            assert (stage.queued(), stage.inflight()) == (["t"], [])
            assert len(worker.statistics().left_behind) == 1
    finally:
        over.set()


@pytest.mark.virtual
async def test_a_handler_that_cannot_be_cancelled_is_given_up(stage: Stage) -> None:
    """Its task goes back, all else is settled, and the host is told, for it has to end itself."""
    told: list[tuple[str, ...]] = []
    over = anyio.Event()

    @stage.handlers.on("shielded")
    async def shielded(_: dict[str, Any]) -> None:
        with anyio.CancelScope(shield=True):
            await over.wait()

    def on_stuck(names: tuple[str, ...]) -> None:
        told.append(names)
        assert (stage.queued(), stage.inflight(), stage.memory.members()) == (["t"], [], ())
        assert stage.answered() == ["quick"]
        over.set()

    async with stage.working(on_stuck=on_stuck) as worker:
        await stage.memory.push_raw(Q, body("t", "shielded"))
        await stage.push_naps(["quick"], 1)
        await until(lambda: len(worker.statistics().running) == 2)
        await worker.stop(grace=2)

    assert told == [("t",)]
    assert stage.answered() == ["quick"]


async def test_a_burst_ends_when_its_queues_are_empty(stage: Stage) -> None:
    """With `burst` a worker ends by itself, after the last answer and not before."""
    names = [str(number) for number in range(50)]
    await stage.push_naps(names, 0.001)

    with anyio.fail_after(30):
        await stage.worker(settings={"burst": True}).run()

    assert sorted(stage.answered()) == sorted(names)
    assert (stage.queued(), stage.inflight(), stage.memory.members()) == ([], [], ())


async def test_a_burst_on_empty_queues_ends_at_once(stage: Stage) -> None:
    """Nothing to do is done."""
    with anyio.fail_after(10):
        await stage.worker([Q, "other"], settings={"burst": True}).run()

    assert stage.started == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda stage: Worker(stage.broker, stage.handlers, []), "queues is empty"),
        (lambda stage: Worker(stage.broker, {}), "no handler names one"),
        (lambda stage: stage.worker(Q), "expected a list of queues"),
        (lambda stage: stage.worker(concurrency=0), "concurrency is 0, expected a number from 1"),
    ],
)
def test_a_worker_put_together_wrongly_is_refused(
    stage: Stage, make: Callable[[Stage], Worker], words: str
) -> None:
    """What can't work is an error at construction, in one sentence."""
    with pytest.raises(WorkerError, match=words):
        make(stage)
