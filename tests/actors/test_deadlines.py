"""Time-outs of tasks that run side by side, which one timer watches."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from runtime.outgoing import Terms
from tests.actors.stage import Q, Stage


@settings(deadline=None, max_examples=25)
@given(
    runs=st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 100), st.integers(1, 100)), max_size=8
    )
)
def test_each_run_ends_at_its_own_time(runs: list[tuple[int, int, int]]) -> None:
    """Whatever begins when, each handler ends when it is through or its own time is up."""
    virtual = {"clock": MockClock(autojump_threshold=0)}
    ended = anyio.run(_ends, runs, backend="trio", backend_options=virtual)
    expected = [begun + min(takes + 0.5, limit) for begun, takes, limit in runs]
    assert ended == pytest.approx(dict(enumerate(expected)), abs=0.1)


async def _ends(runs: list[tuple[int, int, int]]) -> dict[int, float]:
    stage = Stage()
    ended: dict[int, float] = {}

    @stage.handlers.on("timed")
    async def timed(payload: dict[str, Any]) -> None:
        try:
            await anyio.sleep(payload["takes"] + 0.5)
        finally:
            ended[payload["number"]] = anyio.current_time() - zero

    async with stage.working(concurrency=10):
        zero = anyio.current_time()

        async def push(number: int, begins: int, takes: int, limit: int) -> None:
            await anyio.sleep(begins)
            payload = {"number": number, "takes": takes}
            await stage.memory.push(Q, "timed", payload, f"t{number}", Terms(timeout=limit))
            await stage.memory.answer(f"t{number}")

        async with anyio.create_task_group() as group:
            for number, run in enumerate(runs):
                group.start_soon(push, number, *run)
    return ended
