"""What agents remember on a Qdrant server that all workers share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtime.brain.health_check import health_check
from runtime.brain.memory import Memory
from runtime.brain.payloads import HealthCheck
from runtime.brain.services import Services
from tests.brain.conftest import World
from tests.brain.talks import reaching
from tests.brain.test_memory import recalled, remember, subject
from tests.polling import eventually_async
from tests.qdrant import QdrantStandIn, qdrant_stand_in

pytestmark = pytest.mark.anyio


@pytest.fixture
async def qdrant() -> AsyncIterator[QdrantStandIn]:
    async with qdrant_stand_in() as server:
        yield server


async def test_what_one_worker_stores_another_recalls(qdrant: QdrantStandIn) -> None:
    """Exchanges lie on the server, once for each task, and of one agent and one model alone."""
    first, second = Memory(qdrant.url), Memory(qdrant.url)
    assert await recalled(first, subject("new")) == []
    for _ in range(2):
        await remember(first, subject("1"), "one")
    await remember(second, subject("2", "other"), "another agent's")
    await remember(second, subject("3", model="n"), "another model's")
    assert await recalled(second, subject("new")) == ["one"]
    assert await recalled(second, subject("1")) == []
    await first.aclose()
    await second.aclose()


async def test_workers_that_make_the_collection_at_once(qdrant: QdrantStandIn) -> None:
    """Of workers that all find no collection one makes it, and all store."""
    memories = [Memory(qdrant.url) for _ in range(4)]
    await asyncio.gather(
        *(remember(memory, subject(f"{n}"), f"{n}") for n, memory in enumerate(memories))
    )
    assert len(await recalled(memories[0], subject("new"))) == 3
    for memory in memories:
        await memory.aclose()


async def test_a_closed_memory_keeps_no_connection(qdrant: QdrantStandIn) -> None:
    """After `aclose` nothing is open, and a later use connects anew."""
    memory = Memory(qdrant.url)
    for _ in range(2):
        await remember(memory, subject("1"), "one")
        await memory.aclose()
        await eventually_async(lambda: qdrant.open == 0)


async def test_a_server_that_answers_is_well(
    services: Services, world: World, qdrant: QdrantStandIn
) -> None:
    """The health check tells its latency."""
    await world.cluster(status="planning")
    async with reaching(services, "", memory=Memory(qdrant.url)) as reached:
        answer = await health_check(HealthCheck("c"), reached)
    assert answer["services"]["qdrant"]["ok"] is True
    assert answer["services"]["ollama"] is None
    assert answer["health_score"] == 1.0
