"""Both event loops for every test of the actors, trio's on virtual time.

A test that waits for a thread is marked `real_time`: virtual time knows nothing of threads, and
leaps over any time-out while one of them is on its way.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger
from trio.testing import MockClock

from tests.actors.stage import Stage


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual: depends on time, which only trio makes virtual")
    config.addinivalue_line("markers", "real_time: waits for a thread, which no clock waits for")
    config.addinivalue_line("markers", "asyncio_only: on trio the case can't come up")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "anyio_backend" in metafunc.fixturenames:
        loops = ["asyncio", "trio"]
        if metafunc.definition.get_closest_marker("virtual"):
            loops.remove("asyncio")
        if metafunc.definition.get_closest_marker("asyncio_only"):
            loops.remove("trio")
        metafunc.parametrize("anyio_backend", loops, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loop of a test; trio's jumps to the next deadline when all wait."""
    if request.param == "trio" and request.node.get_closest_marker("real_time"):
        return "trio", {}
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {}


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged during the test."""
    written: list[str] = []
    sink = logger.add(lambda line: written.append(str(line)), format="{message}", level="WARNING")
    yield written
    logger.remove(sink)


@pytest.fixture
def stage() -> Stage:
    """A broker, a registry of handlers and what to see of both."""
    return Stage()
