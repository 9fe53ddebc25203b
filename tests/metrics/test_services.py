import asyncio
from contextlib import aclosing

import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from runtime.brain import database
from runtime.brain.errors import BrainError
from runtime.brain.ollama import Ollama
from runtime.metrics.service_meters import OllamaCalls, Pool
from tests.ollama import ollama_stand_in

Samples = dict[tuple[str, ...], float]


def samples(collected: OllamaCalls | Pool, name: str) -> Samples:
    """Return a metric's values by the values of its labels, in their order by name."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in collected.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_chats_are_measured_to_their_end() -> None:
    """A chat counts as answered with its tokens, as failed if it breaks off, or as abandoned."""
    calls = OllamaCalls()

    async def talk() -> None:
        async with ollama_stand_in() as server:
            client = Ollama(server.url, meter=calls)
            try:
                async with aclosing(client.chat("qwen2.5:0.5b", [], {})) as lines:
                    assert [line.done async for line in lines][-1]
                await client.embed("nomic-embed-text", "a")
                server.break_off = 1
                with pytest.raises(BrainError):
                    async for _ in client.chat("qwen2.5:0.5b", [], {}):
                        pass
                async with aclosing(client.chat("qwen2.5:0.5b", [], {})) as lines:
                    await anext(lines)
            finally:
                await client.aclose()

    asyncio.run(talk())
    assert samples(calls, "brain_worker_ollama_request_duration_seconds_count") == {
        ("answered", "chat"): 1,
        ("answered", "embed"): 1,
        ("failed", "chat"): 1,
        ("abandoned", "chat"): 1,
    }
    assert samples(calls, "brain_worker_ollama_tokens_total") == {("prompt",): 26, ("reply",): 298}


def test_the_pool_tells_its_connections(database_url: str) -> None:
    """What is in use, what is open and idle, and how many there may be, are shown."""

    async def use() -> tuple[Samples, Samples, Samples]:
        engine = database.engine(database_url, concurrency=3)
        assert isinstance(engine.pool, QueuePool)
        pool, name = Pool(engine.pool), "brain_worker_database_connections"
        try:
            async with engine.connect() as one, engine.connect() as two:
                await one.execute(text("SELECT 1"))
                await two.execute(text("SELECT 1"))
                busy = samples(pool, name)
            return busy, samples(pool, name), samples(pool, f"{name}_limit")
        finally:
            await engine.dispose()

    busy, idle, limit = asyncio.run(use())
    assert busy == {("busy",): 2, ("idle",): 0}
    assert idle == {("busy",): 0, ("idle",): 2}
    assert limit == {(): 3}
