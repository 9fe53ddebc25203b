"""Progress and saved states, seen from handlers on the event loop and in threads."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, Context, RefusedError, Retry, StateTooLargeError, TaskLostError
from actors.notes import MAX_STATE_BYTES
from messages import UnencodableError, decode_task
from tests.actors.stage import Q, Stage, body, until

pytestmark = pytest.mark.anyio


def states(stage: Stage) -> dict[str, tuple[int, bytes]]:
    """Return what the tasks of the queue have saved."""
    return stage.memory.store.notes.states[Q]


def plain_context() -> Context:
    return Context("a", "t", "q", "w", 1, datetime(2024, 2, 17, tzinfo=UTC))


async def test_the_next_attempt_goes_on_where_the_last_one_stood(stage: Stage) -> None:
    """What a run has saved last is what the next one finds, and goes with the answer."""
    seen: list[Any] = []

    @stage.handlers.on("steps", retry=Backoff(attempts=4, base=0.001))
    async def steps(payload: dict[str, Any], context: Context) -> int:
        seen.append(context.saved)
        done = context.saved or {"step": 0}
        await context.save({"step": done["step"] + 1})
        await context.save({"step": done["step"] + 2})
        if context.attempt < payload["attempts"]:
            raise Retry(after=0)
        return done["step"] + 2

    async with stage.working():
        answer = await stage.run("steps", attempts=3)
    assert answer["result"] == {"value": 6}
    assert seen == [None, {"step": 2}, {"step": 4}]
    assert states(stage) == {}


async def test_a_dead_letter_takes_its_state_along(stage: Stage) -> None:
    """After the last attempt nothing is left, and a new try of the dead letter begins anew."""

    @stage.handlers.on("fails")
    async def fails(_: dict[str, Any], context: Context) -> None:
        await context.save([1])
        raise ValueError

    async with stage.working():
        assert not (await stage.run("fails"))["success"]
    assert states(stage) == {}
    (letter,) = stage.memory.dead_letters(Q)
    assert decode_task(letter.raw).saved == 0


@pytest.mark.parametrize("state", [{"a": [1, 2.5, None, True, "ü"]}, [], "x", 0, 2**70, False])
async def test_any_json_value_is_a_state(stage: Stage, state: object) -> None:
    """A state comes back as it was saved; what the handler does to it afterwards isn't kept."""
    found: list[object] = []

    @stage.handlers.on("keeps", retry=Backoff(attempts=2, base=0.001))
    async def keeps(_: dict[str, Any], context: Context) -> None:
        if context.attempt == 1:
            await context.save(state)
            raise Retry(after=0)
        found.extend([context.saved, context.saved])
        if isinstance(found[0], dict):
            found[0].clear()

    async with stage.working():
        await stage.run("keeps")
    assert found[1] == state


async def test_what_is_no_state_fails_the_handler(stage: Stage) -> None:
    """What isn't JSON, or is too large, is refused in a sentence before anything is sent."""

    @stage.handlers.on("saves")
    async def saves(payload: dict[str, Any], context: Context) -> None:
        await context.save({"set": {1}, "large": "x" * MAX_STATE_BYTES}[payload["what"]])

    async with stage.working():
        odd = (await stage.run("saves", what="set"))["result"]
        large = (await stage.run("saves", what="large"))["result"]
    assert odd["error"].startswith("the saved state isn't JSON: Object of type set")
    assert large["error"].startswith("the saved state has 65538 bytes, the most is 65536; save")
    assert (odd["error_type"], large["error_type"]) == ("UnencodableError", "StateTooLargeError")


async def test_a_lost_reply_saves_all_the_same(stage: Stage) -> None:
    """A save is sent again until a reply comes; the handler goes on with its state kept."""
    left = [3]

    def loses(name: str) -> bool:
        left[0] -= name == "save"
        return name == "save" and left[0] >= 0

    stage.broker.network("w").loses = loses
    kept: list[tuple[int, bytes]] = []

    @stage.handlers.on("saves")
    async def saves(_: dict[str, Any], context: Context) -> None:
        await context.save(7)
        kept.extend(states(stage).values())

    async with stage.working(worker_id="w"):
        assert (await stage.run("saves"))["success"]
    assert kept == [(1, b"7")]


async def test_saves_take_turns(stage: Stage) -> None:
    """An older state whose reply was lost never comes after a newer one."""
    network = stage.broker.network("w")
    first = [True]

    def loses(name: str) -> bool:
        lost = name == "save" and first[0]
        first[0] = first[0] and not lost
        return lost

    network.loses = loses

    @stage.handlers.on("saves")
    async def saves(_: dict[str, Any], context: Context) -> None:
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(context.save, number)
                await anyio.lowlevel.checkpoint()
        assert [state for _, state in states(stage).values()] == [b"4"]

    async with stage.working(worker_id="w"):
        answer = await stage.run("saves")
    assert answer["success"], answer


async def test_a_server_that_refuses_is_told_to_the_handler(stage: Stage) -> None:
    """A refused save is an error of the handler's that it can catch."""
    caught: list[RefusedError] = []
    stage.broker.network("w").breaks["save"] = RefusedError("it won't")

    @stage.handlers.on("saves")
    async def saves(_: dict[str, Any], context: Context) -> None:
        with pytest.raises(RefusedError) as error:
            await context.save(1)
        caught.append(error.value)

    async with stage.working(worker_id="w"):
        assert (await stage.run("saves"))["success"]
    assert str(caught[0]) == "it won't"


async def test_a_released_task_goes_on_elsewhere(stage: Stage) -> None:
    """A drain gives the task back in a body that tells of its state; no attempt, no death."""
    found: list[Any] = []

    @stage.handlers.on("long")
    async def long(_: dict[str, Any], context: Context) -> int:
        found.append(context.saved)
        if context.saved is None:
            await context.save({"step": 1})
            await context.save({"step": 2})
            await anyio.sleep_forever()
        return context.attempt

    async with stage.working(settings={"grace": 0}):
        await stage.memory.push(Q, "long", {}, "a")
        await until(lambda: states(stage), "it has saved")
    (raw,) = stage.memory.store.queue(Q).waiting
    task = decode_task(raw)
    assert (task.id, task.saved, task.attempt, task.deaths) == ("a", 2, 1, 0)
    assert states(stage)["a"] == (2, b'{"step":2}')
    async with stage.working():
        assert (await stage.answer("a"))["result"] == {"value": 1}
    assert found == [None, {"step": 2}]


async def test_a_released_task_that_saved_nothing_keeps_its_bytes(stage: Stage) -> None:
    """Only a new state changes the body (I8)."""

    @stage.handlers.on("long")
    async def long(_: dict[str, Any], context: Context) -> None:
        assert context.saved is None
        stage.started.append("begun")
        await anyio.sleep_forever()

    await stage.memory.push(Q, "long", {}, "a")
    (before,) = stage.memory.store.queue(Q).waiting
    async with stage.working(settings={"grace": 0}):
        await until(lambda: stage.started, "it runs")
    assert list(stage.memory.store.queue(Q).waiting) == [before]


@pytest.mark.virtual
async def test_a_reclaimed_task_goes_on_elsewhere(stage: Stage) -> None:
    """After a worker's death the next run finds the state, and a release in between keeps it."""
    found: list[Any] = []

    @stage.handlers.on("long")
    async def long(_: dict[str, Any], context: Context) -> None:
        found.append(context.saved)
        step = (context.saved or 0) + 1
        await context.save(step)
        if step < 4:
            await anyio.sleep_forever()

    async with anyio.create_task_group() as host:
        workers = [stage.worker(worker_id=f"w{number}") for number in range(3)]
        await stage.memory.push(Q, "long", {}, "a")
        host.start_soon(stage.mortal, workers[0])
        await until(lambda: len(found) == 1 and states(stage).get("a", (0,))[0] == 1)
        host.start_soon(stage.mortal, workers[1])
        stage.kill(workers[0])
        await until(lambda: states(stage)["a"][0] == 2, "it goes on after the death")
        await workers[1].stop(0)
        (raw,) = stage.memory.store.queue(Q).waiting
        # It got on between its death and now, so the death is forgotten.
        assert (decode_task(raw).saved, decode_task(raw).deaths) == (2, 0)
        host.start_soon(stage.mortal, workers[2])
        await until(lambda: states(stage)["a"][0] == 3, "it goes on after the release")
        last = stage.worker(worker_id="last")
        stage.kill(workers[2])
        host.start_soon(stage.mortal, last)
        await stage.answer("a")
        await last.stop()
    assert found == [None, 1, 2, 3]
    assert states(stage) == {}


@pytest.mark.virtual
@pytest.mark.parametrize("saves", ["new", "the same", "nothing"])
async def test_who_gets_on_is_no_poison_pill(stage: Stage, saves: str) -> None:
    """A task that saves something new survives six workers; otherwise three, and is put away."""
    gets_on = saves == "new"

    @stage.handlers.on("deadly")
    async def deadly(_: dict[str, Any], context: Context) -> int:
        step = (context.saved or 0) + 1 if gets_on else 1
        if saves != "nothing":
            await context.save(step if gets_on else "begun")
        stage.started.append(context.worker_id)
        if step <= 6:
            await anyio.sleep_forever()
        return step

    await stage.memory.push(Q, "deadly", {}, "a")
    async with anyio.create_task_group() as host:
        witness = stage.worker(worker_id="witness", queues=["other"])
        host.start_soon(witness.run)
        for number in range(6 if gets_on else 3):
            worker = stage.worker(worker_id=f"w{number}", concurrency=1)
            host.start_soon(stage.mortal, worker)
            await until(lambda number=number: len(stage.started) == number + 1, "it runs")
            stage.kill(worker)
        last = stage.worker(worker_id="last")
        host.start_soon(stage.mortal, last)
        answer = await stage.answer("a")
        await last.stop()
        await witness.stop()
    assert answer["success"] is gets_on
    assert (answer["result"].get("value"), answer["attempt"]) == (7 if gets_on else None, 1)
    assert stage.dead() == ([] if gets_on else [("a", "poison_pill")])


@pytest.mark.virtual
async def test_who_lost_its_task_saves_nothing(stage: Stage) -> None:
    """A worker that was cut off and has lost its task can't write over the next run's state."""
    network = stage.broker.network("first")
    lost: list[TaskLostError] = []
    gate = anyio.Event()

    @stage.handlers.on("long")
    async def long(_: dict[str, Any], context: Context) -> str:
        if context.worker_id == "first":
            await context.save("first")
            stage.started.append("first")
            await gate.wait()
            with anyio.CancelScope(shield=True):
                try:
                    await context.save("late")
                except TaskLostError as error:
                    lost.append(error)
            return "late"
        found = str(context.saved)
        await context.save("second")
        gate.set()
        await until(lambda: lost, "the first one has tried")
        return found

    await stage.memory.push(Q, "long", {}, "a")
    async with anyio.create_task_group() as host:
        first = stage.worker(worker_id="first")
        await host.start(first.run)
        await until(lambda: stage.started, "it runs")
        network.mute = True
        second = stage.worker(worker_id="second")
        await host.start(second.run)
        answer = await stage.answer("a")
        network.mute = False
        await first.stop()
        await second.stop()
    assert answer["result"] == {"value": "first"}
    assert lost[0].task_id == "a"
    assert str(lost[0]).startswith("the state of task a wasn't saved: this run of it is over")


@pytest.mark.virtual
async def test_the_time_of_a_run_begins_when_it_has_its_state(stage: Stage) -> None:
    """A server that doesn't tell the state for long costs a resumed run none of its time."""

    @stage.handlers.on("resumed", timeout=5, retry=Backoff(attempts=2, base=0.001))
    async def resumed(_: dict[str, Any], context: Context) -> Any:
        if context.attempt == 1:
            await context.save("state")
            raise Retry(after=0)
        await anyio.sleep(4)
        return context.saved

    fails_until = anyio.current_time() + 60
    stage.broker.network("w").fails = lambda name: (
        name == "saved" and anyio.current_time() < fails_until
    )
    async with stage.working(worker_id="w"):
        task_id = await stage.push("resumed")
        with anyio.fail_after(100):
            answer = await stage.memory.answer(task_id)
    assert answer["result"] == {"value": "state"}


async def test_a_state_that_cannot_be_read_is_none(stage: Stage, lines: list[str]) -> None:
    """Somebody else's bytes in place of the state: the task begins anew, and the log says so."""

    @stage.handlers.on("resumed", retry=Backoff(attempts=2, base=0.001))
    async def resumed(_: dict[str, Any], context: Context) -> Any:
        if context.attempt == 1:
            await context.save("state")
            states(stage)["a"] = (5, b"{")
            raise Retry(after=0)
        return {"found": context.saved}

    async with stage.working():
        await stage.memory.push(Q, "resumed", {}, "a")
        assert (await stage.answer("a"))["result"] == {"found": None}
    assert any("Task a begins anew: its saved state is no JSON" in line for line in lines)


async def test_a_state_of_which_the_body_knows_nothing_is_found(stage: Stage) -> None:
    """What was saved in the very moment of a recovery isn't in the body; the next run finds it."""

    @stage.handlers.on("resumed")
    async def resumed(_: dict[str, Any], context: Context) -> Any:
        return context.saved

    stage.memory.store.notes.keep(Q, "a", b'"late"')
    async with stage.working():
        await stage.memory.push_raw(Q, body("a", "resumed", deaths=1))
        assert (await stage.answer("a"))["result"] == {"value": "late"}


async def test_a_task_without_a_past_asks_for_no_state(stage: Stage) -> None:
    """The first run of a task costs no call; nor does a handler without a context."""

    @stage.handlers.on("plain", retry=Backoff(attempts=2, base=0.001))
    async def plain(payload: dict[str, Any]) -> None:
        stage.started.append(payload["name"])
        if len(stage.started) == 1:
            raise Retry(after=0)

    async with stage.working(worker_id="w"):
        await stage.run("nap")
        await stage.run("plain", name="x")
    assert "saved" not in stage.broker.network("w").calls


@pytest.mark.real_time
async def test_a_thread_saves_and_goes_on(stage: Stage) -> None:
    """In a `def` a save is over when it returns, and the next run finds it."""
    found: list[Any] = []

    @stage.handlers.on("threaded", retry=Backoff(attempts=2, base=0.001))
    def threaded(_: dict[str, Any], context: Context) -> str:
        found.append(context.saved)
        context.progress(1, 2)
        context.save({"at": context.attempt})
        found.append(json.loads(states(stage)["a"][1]))
        with pytest.raises(StateTooLargeError):
            context.save("x" * MAX_STATE_BYTES)
        if context.attempt == 1:
            raise Retry(after=0)
        return threading.current_thread().name

    async with stage.working():
        await stage.memory.push(Q, "threaded", {}, "a")
        assert (await stage.answer("a"))["success"]
    assert found == [None, {"at": 1}, {"at": 1}, {"at": 2}]


@pytest.mark.real_time
async def test_a_thread_of_an_async_handler_saves_too(stage: Stage) -> None:
    """What counts is where the call is made, also in a thread that the handler has started."""

    @stage.handlers.on("mixed")
    async def mixed(_: dict[str, Any], context: Context) -> int:
        await to_thread.run_sync(context.save, 1)
        own = threading.Thread(target=context.save, args=(2,))
        own.start()
        await to_thread.run_sync(own.join)
        number, _ = states(stage)[context.task_id]
        return number

    async with stage.working():
        assert (await stage.run("mixed"))["result"] == {"value": 2}


@pytest.mark.real_time
async def test_a_thread_that_was_given_up_saves_nothing(stage: Stage) -> None:
    """After its time-out a thread goes on beside the next run, and can't write over its state."""
    go_on, ended = threading.Event(), threading.Event()
    lost: list[Exception] = []

    @stage.handlers.on("slow", timeout=0.05, retry=Backoff(attempts=2, base=0.001))
    def slow(_: dict[str, Any], context: Context) -> Any:
        if context.attempt == 1:
            context.save("early")
            go_on.wait(30)
            try:
                context.save("late")
            except TaskLostError as error:
                lost.append(error)
            ended.set()
        return context.saved

    async with stage.working():
        answer = await stage.run("slow")
        go_on.set()
        await to_thread.run_sync(ended.wait, 30)
    assert answer["result"] == {"value": "early"}
    assert len(lost) == 1


@pytest.mark.real_time
async def test_a_thread_that_was_given_up_does_not_wait_for_the_server(stage: Stage) -> None:
    """A save that gets no reply ends with its run, so the thread ends too."""
    lost: list[str] = []

    @stage.handlers.on("slow", timeout=0.05)
    def slow(_: dict[str, Any], context: Context) -> None:
        try:
            context.save("never")
        except TaskLostError as error:
            lost.append(error.task_id)

    stage.broker.network("w").fails = lambda name: name == "save"
    async with stage.working(worker_id="w"):
        answer = await stage.run("slow")
        await until(lambda: lost, "the thread has ended")
    assert answer["result"]["error_type"] == "TimeoutError"


def test_a_context_of_a_test_keeps_what_is_said() -> None:
    """A context that a test makes needs no worker."""
    context = plain_context()
    context.progress(1, 2)
    context.save({"a": 1})
    assert context.notes.progress == (1, 2)
    assert context.notes.kept == b'{"a":1}'
    assert context.saved is None
    with pytest.raises(UnencodableError, match="the saved state isn't JSON"):
        context.save({"a": object()})


async def test_a_context_of_a_test_can_be_awaited() -> None:
    """The same in an `async def`."""
    context = plain_context()
    await context.save({"a": 1})
    assert context.notes.kept == b'{"a":1}'


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (("1",), TypeError, "progress: done is of the type str, expected a number from 0 to"),
        ((True,), TypeError, "progress: done is of the type bool"),
        ((1, "2"), TypeError, "progress: total is of the type str"),
        ((-1,), ValueError, "progress: done is -1, expected a number from 0 to 9007199254740992"),
        ((float("nan"),), ValueError, "progress: done is nan"),
        ((1, float("inf")), ValueError, "progress: total is inf"),
        ((2**53 + 1,), ValueError, "progress: done is 9007199254740993"),
        ((1, 2**2000), ValueError, "progress: total is "),
    ],
)
def test_what_is_no_progress_is_the_handlers_mistake(
    values: tuple[Any, ...], kind: type[Exception], said: str
) -> None:
    """A bad value is an error at the call, which says what came and what was expected."""
    context = plain_context()
    with pytest.raises(kind, match=said):
        context.progress(*values)
    assert context.notes.progress is None


@given(st.floats(0, 2**53), st.one_of(st.none(), st.floats(0, 2**53), st.integers(0, 2**53)))
def test_any_number_is_progress(done: float, total: float | None) -> None:
    """Whole numbers and others are taken as they are, a total of nothing too."""
    context = plain_context()
    context.progress(done, total)
    assert context.notes.progress == (done, total)
