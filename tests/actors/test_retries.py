"""Failed tasks: tried again after a wait, and put away after the last attempt."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, Context, Handlers, Retry
from actors.retry import decide, longest_wait
from messages import decode_task
from runtime.outgoing import Terms
from tests.actors.stage import Q, Stage, body, until

pytestmark = pytest.mark.anyio

backoffs = st.builds(
    Backoff,
    attempts=st.integers(2, 50),
    base=st.floats(0.001, 1e6),
    factor=st.floats(1, 1e6),
    cap=st.floats(0.001, 1e6),
)


def handler_with(backoff: Backoff | None) -> Any:
    handlers = Handlers(retry=backoff)

    @handlers.on("t")
    async def handler(_: dict[str, Any]) -> None: ...

    return handlers["t"]


@given(backoffs, st.floats(0, 1, exclude_max=True), st.integers(1, 10**6))
def test_waits_are_drawn_below_a_growing_bound(backoff: Backoff, draw: float, attempt: int) -> None:
    """Full jitter: from 0 up to base x factor^(n-1), and never above the cap."""
    task = decode_task(body("t", "t", attempt=attempt, max_attempts=10**6))
    decision = decide(task, handler_with(backoff), ValueError(), draw)

    if attempt == 10**6:
        assert decision.after is None
        return
    assert decision.after is not None
    assert 0 <= decision.after <= longest_wait(backoff, attempt) <= backoff.cap
    assert longest_wait(backoff, 1) == min(backoff.base, backoff.cap)
    assert longest_wait(backoff, attempt) <= longest_wait(backoff, attempt + 1)


def test_who_decides_on_the_attempts() -> None:
    """The task before the handler, the handler before the default of three."""
    plain, own = decode_task(body("t", "t")), decode_task(body("t", "t", max_attempts=9))

    assert decide(plain, handler_with(None), None, 0.5).attempts == 3
    assert decide(plain, handler_with(Backoff(attempts=5)), None, 0.5).attempts == 5
    assert decide(own, handler_with(Backoff(attempts=5)), None, 0.5).attempts == 9


@pytest.mark.parametrize(("after", "waits"), [(7, 7.0), (-1, 0.0), (1e12, 31_536_000.0)])
def test_a_handler_may_ask_for_a_wait(after: float, waits: float) -> None:
    """`Retry(after=…)` is the wait, within reason; it counts as an attempt like any failure."""
    task = decode_task(body("t", "t"))

    assert decide(task, handler_with(None), Retry(after=after), 0.5).after == waits
    last = decode_task(body("t", "t", attempt=3))
    assert decide(last, handler_with(None), Retry(after=after), 0.5).after is None


@pytest.mark.virtual
async def test_a_task_that_fails_twice_is_answered_once(stage: Stage) -> None:
    """Three runs, one answer; the handler, the answer and nobody else counts them."""
    seen: list[tuple[int, float]] = []

    @stage.handlers.on("flaky", retry=Backoff(base=4, factor=3))
    async def flaky(_: dict[str, Any], context: Context) -> str:
        seen.append((context.attempt, anyio.current_time()))
        if context.attempt < 3:
            raise RuntimeError(f"attempt {context.attempt}")
        return "at last"

    async with stage.working() as worker:
        answer = await stage.run("flaky")
    statistics = worker.statistics()

    assert (answer["success"], answer["attempt"]) == (True, 3)
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    waits = [later - earlier for (_, earlier), (_, later) in pairwise(seen)]
    # A due task is late by a look at most.
    assert all(wait <= bound + 0.2 for wait, bound in zip(waits, (4, 12), strict=True))
    assert len(stage.answered()) == 1
    assert (statistics.processed, statistics.failed, statistics.retried) == (1, 0, 2)
    assert stage.dead() == []


@pytest.mark.virtual
async def test_a_task_that_always_fails_is_put_away(stage: Stage, lines: list[str]) -> None:
    """One failure answers it, one dead letter tells of all attempts, the log of each."""

    @stage.handlers.on("broken", retry=Backoff(attempts=3))
    async def broken(_: dict[str, Any], context: Context) -> None:
        raise KeyError(f"attempt {context.attempt}")

    async with stage.working() as worker:
        answer = await stage.run("broken")

    assert (answer["success"], answer["attempt"]) == (False, 3)
    assert answer["result"] == {"error": "'attempt 3'", "error_type": "KeyError"}
    (letter,) = stage.memory.dead_letters(Q)
    assert (letter.reason.value, letter.attempts, letter.error_type) == (
        "attempts_exhausted",
        3,
        "KeyError",
    )
    assert [(past.attempt, past.error) for past in letter.errors] == [
        (1, "'attempt 1'"),
        (2, "'attempt 2'"),
    ]
    assert 'raise KeyError(f"attempt {context.attempt}")' in letter.traceback
    assert "execution.py" not in letter.traceback
    assert json.loads(letter.raw)["id"] == answer["task_id"]
    assert len(stage.answered()) == 1
    assert worker.statistics().failed == 1
    said = "".join(lines)
    for attempt in (1, 2, 3):
        assert f"(attempt {attempt} of 3" in said


@pytest.mark.virtual
async def test_a_large_task_does_not_become_too_large_by_failing(stage: Stage) -> None:
    """What the pool writes into a body for its next attempt doesn't count against its bound."""

    @stage.handlers.on("broken", retry=Backoff(attempts=12, base=0.01))
    async def broken(_: dict[str, Any]) -> None:
        raise ValueError("€" * 5_000)

    raw = body("t", "broken")
    async with stage.working(settings={"max_task_bytes": len(raw)}):
        await stage.memory.push_raw(Q, raw)
        answer = await stage.answer("t")

    assert (answer["attempt"], answer["result"]["error_type"]) == (12, "ValueError")
    assert stage.dead() == [("t", "attempts_exhausted")]


@pytest.mark.virtual
async def test_a_time_out_counts_as_an_attempt(stage: Stage) -> None:
    """A handler that runs out of time is tried again."""
    begun: list[int] = []

    @stage.handlers.on("slow", timeout=5, retry=Backoff(attempts=2))
    async def slow(_: dict[str, Any], context: Context) -> None:
        begun.append(context.attempt)
        await anyio.sleep_forever()

    async with stage.working():
        answer = await stage.run("slow")

    assert begun == [1, 2]
    assert answer["result"]["error_type"] == "TimeoutError"


@pytest.mark.virtual
async def test_a_release_counts_as_no_attempt(stage: Stage) -> None:
    """A task that is given back by a drain is run as the same attempt (I7)."""
    begun: list[int] = []

    @stage.handlers.on("long")
    async def long(_: dict[str, Any], context: Context) -> None:
        begun.append(context.attempt)
        await anyio.sleep(0 if len(begun) == 2 else 600)

    task_id = await stage.push("long")
    async with stage.working() as worker:
        await until(lambda: begun)
        await worker.stop(grace=0)
    async with stage.working():
        await stage.answer(task_id)

    assert begun == [1, 1]


@pytest.mark.virtual
async def test_a_wait_outlives_its_worker(stage: Stage) -> None:
    """The wait lies at the server: a dead worker neither loses nor shortens it."""
    begun: list[float] = []

    @stage.handlers.on("later")
    async def later(_: dict[str, Any], context: Context) -> None:
        begun.append(anyio.current_time())
        if context.attempt == 1:
            raise Retry(after=100)

    task_id = await stage.memory.push(Q, "later", {}, terms=Terms(max_attempts=2))
    async with anyio.create_task_group() as host:
        first = stage.worker()
        host.start_soon(stage.mortal, first)
        await until(lambda: stage.memory.store.queue(Q).delayed)
        stage.kill(first)
    async with stage.working():
        with anyio.fail_after(200):
            await stage.memory.answer(task_id)

    assert 100 <= begun[1] - begun[0] <= 100.2


@pytest.mark.virtual
async def test_the_next_one_leads_when_the_leader_dies(stage: Stage) -> None:
    """Delayed tasks are late by little more than a second when who looks at them dies."""
    async with anyio.create_task_group() as host:
        leader = stage.worker()
        host.start_soon(stage.mortal, leader)
        await until(lambda: stage.memory.store.queue(Q).promoter)
        async with stage.working():
            due = anyio.current_time() + 10
            await stage.memory.push(Q, "nap", {}, "t", Terms(delay=10))
            await anyio.sleep(9.99)
            stage.kill(leader)
            await stage.answer("t")
            assert due <= anyio.current_time() <= due + 1.5


@pytest.mark.virtual
async def test_a_delayed_task_starts_in_its_time(stage: Stage) -> None:
    """A hundred tasks, each with its delay: none early, none late by more than 100 ms."""
    begun: dict[str, float] = {}

    @stage.handlers.on("stamp")
    async def stamp(_: dict[str, Any], context: Context) -> None:
        begun[context.task_id] = anyio.current_time()

    async with stage.working(concurrency=8):
        now = anyio.current_time()
        for number in range(100):
            terms = Terms(delay=number * 0.137)
            await stage.memory.push(Q, "stamp", {}, str(number), terms)
        await stage.answer("99")
        await until(lambda: len(begun) == 100)

    for number in range(100):
        assert 0 <= begun[str(number)] - now - number * 0.137 <= 0.1


@pytest.mark.virtual
async def test_a_task_before_its_time_is_postponed(stage: Stage) -> None:
    """`not_before` in a body that any producer wrote is heeded, and nothing counts for it."""
    seen: list[tuple[int, float]] = []

    @stage.handlers.on("early")
    async def early(_: dict[str, Any], context: Context) -> None:
        seen.append((context.attempt, anyio.current_time()))

    until_then = datetime.now(UTC) + timedelta(seconds=60)
    async with stage.working():
        begun = anyio.current_time()
        raw = body("t", "early", not_before=until_then.isoformat())
        await stage.memory.push_raw(Q, raw)
        with anyio.fail_after(100):
            await stage.memory.answer("t")

    ((attempt, at),) = seen
    assert attempt == 1
    # The wall clock went on while the worker started.
    assert 45 < at - begun < 61


async def test_a_task_that_expired_is_put_away(stage: Stage) -> None:
    """`expires_in` is over before a worker comes: a dead letter and an answer, no run."""
    await stage.memory.push(Q, "nap", {}, "t", Terms(expires_in=1e-6))
    async with stage.working():
        answer = await stage.answer("t")

    assert answer["result"]["error_type"] == "expired"
    assert stage.dead() == [("t", "expired")]
    assert stage.started == []
