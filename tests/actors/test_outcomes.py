import asyncio
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from attrs import frozen

from actors import Context, Identity, Reject, Retry, Surroundings, Usage
from tests.actors.stage import Q, Stage, body, until
from tests.messages.test_malformed import BAD_PAYLOADS, MALFORMED

pytestmark = pytest.mark.anyio

NOW = datetime(2024, 2, 17, 11, 0, tzinfo=UTC)


@frozen
class Resize:
    image: str
    width: int


async def test_what_a_handler_returns_is_the_answer(stage: Stage) -> None:
    """A task is run with its payload built, and its value stored and published once."""

    @stage.handlers.on("resize")
    async def resize(payload: Resize) -> dict[str, Any]:
        return {"name": payload.image, "twice": payload.width * 2}

    async with stage.working() as worker:
        answer = await stage.run("resize", image="a", width=2)

    assert (answer["success"], answer["result"]) == (True, {"name": "a", "twice": 4})
    assert (answer["worker_id"], answer["type"]) == (worker.worker_id, "resize")
    assert stage.answered() == [answer["task_id"]]
    assert (stage.queued(), stage.inflight(), stage.dead()) == ([], [], [])
    statistics = worker.statistics()
    assert (statistics.processed, statistics.failed, statistics.unsettled) == (1, 0, 0)


async def test_a_handler_knows_its_task(stage: Stage) -> None:
    """The context says the id, type, queue, worker, attempt and deadline; its logger binds them."""
    seen: list[Context] = []

    @stage.handlers.on("look", timeout=60)
    async def look(_: dict[str, Any], context: Context) -> None:
        seen.append(context)
        context.logger.info("seen")

    async with stage.working(worker_id="w", surroundings=Surroundings(now=lambda: NOW)):
        await stage.memory.push_raw(Q, body("t-1", "look", attempt=3))
        answer = await stage.answer("t-1")

    (context,) = seen
    assert (context.task_id, context.task_type, context.queue) == ("t-1", "look", Q)
    assert (context.worker_id, context.attempt) == ("w", 3)
    assert context.deadline == NOW.replace(minute=1)
    assert answer["attempt"] == 3
    assert (answer["started_at"], answer["queue_ms"]) == ("2024-02-17T11:00:00Z", 1_800_000.0)


@pytest.mark.real_time
async def test_a_def_handler_runs_in_a_thread(stage: Stage) -> None:
    """A plain function doesn't hold up the event loop: it runs beside it."""

    @stage.handlers.on("where")
    def where(_: dict[str, Any], context: Context) -> dict[str, Any]:
        return {"main": threading.current_thread() is threading.main_thread(), "q": context.queue}

    async with stage.working():
        answer = await stage.run("where")

    assert answer["result"] == {"main": False, "q": Q}


class UnshowableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class FatalError(BaseException):
    pass


def fail(error: BaseException) -> None:
    raise error


FAILURES: list[tuple[BaseException, str, str]] = [
    (ValueError("no disk"), "no disk", "ValueError"),
    (ValueError(), "ValueError", "ValueError"),
    (Retry("busy", after=5), "busy", "Retry"),
    (SystemExit(3), "3", "SystemExit"),
    (FatalError("worse"), "worse", "FatalError"),
    (ExceptionGroup("two", [ValueError("a"), OSError("b")]), "two (2 sub", "ExceptionGroup"),
    (BaseExceptionGroup("fatal", [SystemExit(1)]), "fatal (1 sub", "BaseExceptionGroup"),
    (UnshowableError(), "can't be read", "UnshowableError"),
    (ValueError("\ud800"), "?", "ValueError"),
    (ValueError("{} {0} {task}"), "{} {0} {task}", "ValueError"),
    (TimeoutError("its own"), "its own", "TimeoutError"),
]


@pytest.mark.real_time
@pytest.mark.parametrize(("error", "text", "kind"), FAILURES, ids=lambda value: str(type(value)))
@pytest.mark.parametrize("threaded", [False, True], ids=["async", "thread"])
async def test_whatever_a_handler_raises_is_a_failure(
    stage: Stage,
    error: BaseException,
    text: str,
    kind: str,
    threaded: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """An exception of any kind fails its task, in words, and nothing else: the worker goes on."""

    @stage.handlers.on("async")
    async def fails(_: dict[str, Any]) -> None:
        raise error

    @stage.handlers.on("thread")
    def fails_too(_: dict[str, Any]) -> None:
        raise error

    async with stage.working() as worker:
        answer = await stage.run("thread" if threaded else "async")
        following = await stage.run("nap")

    assert answer["success"] is False
    assert text in answer["result"]["error"]
    assert answer["result"]["error_type"] == kind
    assert following["success"] is True
    assert stage.dead() == [(answer["task_id"], "attempts_exhausted")]
    assert (worker.statistics().processed, worker.statistics().failed) == (2, 1)


async def test_errors_of_a_handlers_own_tasks_are_a_failure(stage: Stage) -> None:
    """A task group inside a handler fails as it would anywhere, its siblings cancelled."""

    @stage.handlers.on("group")
    async def group(_: dict[str, Any]) -> None:
        async with anyio.create_task_group() as siblings:
            siblings.start_soon(anyio.sleep_forever)
            siblings.start_soon(broken)

    async def broken() -> None:
        raise FatalError(2)

    async with stage.working():
        answer = await stage.run("group")
        assert (await stage.run("nap"))["success"] is True

    assert answer["result"]["error_type"] == "BaseExceptionGroup"


@pytest.mark.asyncio_only
async def test_a_cancellation_of_the_handlers_own_is_a_failure(stage: Stage) -> None:
    """A handler that awaits something cancelled fails; it neither hangs nor ends the worker."""

    @stage.handlers.on("cancelled")
    async def cancelled(_: dict[str, Any]) -> None:
        job = asyncio.get_running_loop().create_future()
        job.cancel()
        await job

    async with stage.working():
        answer = await stage.run("cancelled")
        assert (await stage.run("nap"))["success"] is True

    assert (answer["success"], answer["result"]["error_type"]) == (False, "CancelledError")


@pytest.mark.parametrize(
    ("why", "told"), [("no such cluster", "no such cluster"), ("\udfff", "?"), (7, "7")]
)
async def test_a_reject_is_a_dead_letter(stage: Stage, why: Any, told: str) -> None:
    """A rejected task is put away with the reason, and its producer is told."""

    @stage.handlers.on("no")
    async def no(_: dict[str, Any]) -> None:
        raise Reject(why)

    async with stage.working() as worker:
        answer = await stage.run("no")

    assert answer["result"] == {"error": told, "error_type": "rejected"}
    assert stage.dead() == [(answer["task_id"], "rejected")]
    assert worker.statistics().rejected == worker.statistics().failed == 1


async def test_an_unknown_type_is_a_dead_letter(stage: Stage) -> None:
    """A type without a handler is never retried; the answer says which types there are."""
    async with stage.working():
        answer = await stage.run("dance")

    assert "'dance'" in answer["result"]["error"]
    assert "nap" in answer["result"]["error"]
    assert stage.dead() == [(answer["task_id"], "unknown_type")]


async def test_an_expired_task_is_not_run(stage: Stage) -> None:
    """A task past its `expires_at` is put away unrun; one that still has time is run."""
    async with stage.working(surroundings=Surroundings(now=lambda: NOW)):
        await stage.memory.push_raw(Q, body("late", expires_at="2024-02-17T11:00:00Z"))
        await stage.memory.push_raw(Q, body("early", expires_at="2024-02-17T11:00:01"))
        late, early = await stage.answer("late"), await stage.answer("early")

    assert late["result"] == {
        "error": "the task expired at 2024-02-17 11:00:00 UTC",
        "error_type": "expired",
    }
    assert (late["started_at"], early["success"]) == (None, True)
    assert (stage.started, stage.dead()) == (["early"], [("late", "expired")])


async def test_a_payload_that_does_not_fit_is_a_dead_letter(stage: Stage) -> None:
    """A payload of the wrong shape is never retried; the answer names the fields."""

    @stage.handlers.on("resize")
    async def resize(payload: Resize) -> None:
        """Be called with what fits only."""

    async with stage.working():
        answer = await stage.run("resize", image=1, later=2)

    assert "expected a string, got 1 at payload.image" in answer["result"]["error"]
    assert "`width` is missing" in answer["result"]["error"]
    assert stage.dead() == [(answer["task_id"], "invalid_payload")]


class Failing(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("the session is closed")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: math.nan,
        lambda: {1, 2},
        lambda: {"a": b"x"},
        lambda: "\ud800",
        lambda: {(1, 2): 3},
        Failing,
        object,
    ],
)
async def test_a_value_that_is_not_json_is_a_failure(
    stage: Stage, make: Callable[[], object]
) -> None:
    """What can't be written as JSON fails the task, not the worker."""

    @stage.handlers.on("odd")
    async def odd(_: dict[str, Any]) -> object:
        return make()

    async with stage.working():
        answer = await stage.run("odd")
        assert (await stage.run("nap"))["success"] is True

    assert answer["result"]["error"].startswith("the handler's result isn't JSON: ")
    assert answer["result"]["error_type"] == "UnencodableError"


async def test_a_value_that_is_too_large_is_a_failure(stage: Stage) -> None:
    """A result beyond the bound fails the task; one at the bound is stored."""

    @stage.handlers.on("fill")
    async def fill(payload: dict[str, Any]) -> dict[str, Any]:
        return {"x": "x" * (payload["size"] - len('{"x":""}'))}

    async with stage.working(settings={"max_result_bytes": 1_000}):
        fits, large = await stage.run("fill", size=1_000), await stage.run("fill", size=1_001)

    assert fits["success"] is True
    assert large["result"] == {
        "error": "the handler's result has 1001 bytes, the most is 1000",
        "error_type": "ResultTooLarge",
    }


async def test_a_body_that_is_too_large_is_a_dead_letter(stage: Stage) -> None:
    """A body beyond the bound isn't run; its producer is told how large it may be."""
    large = body("large", payload={"x": "x" * 1_000})
    async with stage.working(settings={"max_task_bytes": 1_000}):
        await stage.memory.push_raw(Q, large)
        answer = await stage.answer("large")

    assert f"{len(large)} bytes, the most is 1000" in answer["result"]["error"]
    assert (stage.dead(), stage.started) == ([("large", "too_large")], [])


async def test_bad_bodies_are_dead_letters_and_the_worker_goes_on(stage: Stage) -> None:
    """Each of the many kinds of bad body is put away with its reason; readable ids are answered."""
    bad = [raw for raw, _, _ in MALFORMED.values()]
    for text, _ in BAD_PAYLOADS.values():
        name = f"p{len(bad)}"
        bad.append(body(name, payload=0).replace(b'"payload": 0', b'"payload": ' + text.encode()))
    async with stage.working(settings={"max_task_bytes": 2**20}):
        for raw in bad:
            await stage.memory.push_raw(Q, raw)
        following = await stage.run("nap")

    letters = stage.memory.dead_letters(Q)
    assert sorted(letter.raw for letter in letters) == sorted(bad)
    assert {letter.reason.value for letter in letters} == {"malformed"}
    assert all(letter.error for letter in letters)
    assert len(bad) > 60
    assert following["success"] is True
    with_id = {letter.task_id for letter in letters} - {None}
    assert len(with_id) > 8
    assert set(stage.answered()) == with_id | {following["task_id"]}
    assert (stage.queued(), stage.inflight()) == ([], [])


async def test_unknown_fields_do_not_matter(stage: Stage) -> None:
    """A producer may be newer than we are."""
    async with stage.working():
        await stage.memory.push_raw(Q, body("t", later=[1], payload={"more": {}}))

        assert (await stage.answer("t"))["success"] is True


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("by_handler", "by_task", "limit"), [(None, None, 600), (60, None, 60), (60, 0.5, 0.5)]
)
async def test_a_time_out_is_a_failure(
    stage: Stage, by_handler: float | None, by_task: float | None, limit: float
) -> None:
    """A handler that takes too long is cancelled: by the worker's limit, its own or the task's."""

    @stage.handlers.on("hang", timeout=by_handler)
    async def hang(_: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    more = {} if by_task is None else {"timeout": by_task}
    async with stage.working():
        await stage.memory.push_raw(Q, body("t", "hang", **more))
        with anyio.fail_after(700):
            answer = await stage.memory.answer("t")

    assert answer["result"] == {
        "error": f"the handler ran for longer than its time-out of {limit:g} s",
        "error_type": "TimeoutError",
    }
    assert answer["duration_ms"] == limit * 1000


@pytest.mark.virtual
async def test_a_time_out_counts_whatever_the_handler_makes_of_it(stage: Stage) -> None:
    """An error raised while cleaning up after a time-out is still the time-out's failure."""

    @stage.handlers.on("wrap", timeout=1)
    async def wrap(_: dict[str, Any]) -> None:
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001 - the case
            raise ConnectionError("interrupted") from None

    @stage.handlers.on("group", timeout=1)
    async def group(_: dict[str, Any]) -> None:
        async with anyio.create_task_group() as siblings:
            siblings.start_soon(anyio.sleep_forever)
            try:
                await anyio.sleep_forever()
            finally:
                fail(ValueError("while cleaning up"))

    async with stage.working():
        answers = [await stage.run("wrap"), await stage.run("group")]
        assert (await stage.run("nap"))["success"] is True

    assert [answer["result"]["error_type"] for answer in answers] == ["TimeoutError"] * 2


@pytest.mark.virtual
async def test_a_handler_that_swallows_its_time_out_and_returns_has_succeeded(
    stage: Stage,
) -> None:
    """What was done in spite of the time-out is done: its value is the answer."""

    @stage.handlers.on("stubborn", timeout=1)
    async def stubborn(_: dict[str, Any]) -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2)
        return "done"

    async with stage.working():
        answer = await stage.run("stubborn")

    assert (answer["success"], answer["result"]) == (True, {"value": "done"})


@pytest.mark.real_time
async def test_a_thread_that_hangs_is_given_up(stage: Stage) -> None:
    """A `def` handler that can't be cancelled fails by its time-out; its slot works on."""
    over = threading.Event()

    @stage.handlers.on("stuck", timeout=0.1)
    def stuck(_: dict[str, Any]) -> None:
        over.wait()

    try:
        async with stage.working(concurrency=1) as worker:
            answer = await stage.run("stuck")
            assert (await stage.run("nap"))["success"] is True
            await until(lambda: len(worker.statistics().left_behind) == 1)
    finally:
        over.set()

    assert answer["result"]["error_type"] == "TimeoutError"


@pytest.mark.virtual
async def test_no_more_handlers_run_than_there_are_slots(stage: Stage) -> None:
    """All slots work at once, and never more handlers than slots."""
    async with stage.working(concurrency=3):
        await stage.push_naps([str(number) for number in range(20)], seconds=1)
        await stage.answer("19")

    assert stage.most == 3
    assert len(stage.finished) == 20


@pytest.mark.parametrize("seconds", [0, 0.001])
async def test_one_slot_starts_tasks_in_push_order(stage: Stage, seconds: float) -> None:
    """With one worker and one slot tasks start exactly in the order of their push (I3)."""
    names = [f"t{number}" for number in range(200)]
    await stage.push_naps(names[:100], seconds)
    async with stage.working(concurrency=1):
        await stage.push_naps(names[100:], seconds)
        await stage.answer(names[-1])

    assert stage.started == names
    assert stage.answered() == names


async def test_the_heartbeat_says_what_the_worker_does(stage: Stage) -> None:
    """While a worker lives its heartbeat lies under its id; when it has ended, it doesn't."""
    async with stage.working(worker_id="w", concurrency=3):
        await stage.run("nap")
        beat = json.loads(stage.memory.store.heartbeats["w"].value)
        assert (beat["worker_id"], beat["slots"], beat["queues"]) == ("w", 3, [Q])
        assert (beat["host"], beat["pid"]) == ("here", 1)

    assert stage.memory.store.heartbeats == {}


async def test_the_heartbeat_tells_of_the_last_minute(stage: Stage) -> None:
    """Answers are counted by queue with their failures and run times, beside what was measured."""

    @stage.handlers.on("no", queue=Q)
    async def no(_: dict[str, Any]) -> None:
        raise Reject("no")

    worker = stage.worker(
        ["other", Q],
        settings={"heartbeat_interval": 0.05},
        identity=Identity(usage=lambda: Usage(12.5, 1024, 50.0)),
    )
    async with anyio.create_task_group() as host:
        await host.start(worker.run)
        await stage.answer(await stage.push(seconds=0.01))
        await stage.answer(await stage.push("no"))
        await stage.answer(await stage.push("unknown", "other"))
        beat: dict[str, Any] = {}

        def told() -> bool:
            beat.update(json.loads(stage.memory.store.heartbeats[worker.worker_id].value))
            return sum(part["tasks"] for part in beat["last_minute"].values()) == 3

        await until(told)
        await worker.stop()
    assert (beat["cpu_percent"], beat["memory_bytes"], beat["memory_percent"]) == (12.5, 1024, 50.0)
    assert beat["last_minute"]["other"] == {"tasks": 1, "failed": 1, "ran": 0, "seconds": 0.0}
    seconds = beat["last_minute"][Q].pop("seconds")
    assert beat["last_minute"][Q] == {"tasks": 2, "failed": 1, "ran": 2}
    assert seconds >= 0.01
