"""Several workers that serve BRAiN's tables side by side, each with connections of its own."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from actors import Broker, Handlers, Worker
from runtime import RedisBroker, TaskQueue
from runtime.brain import database
from runtime.brain.handlers import brain_handlers
from runtime.brain.mission_watch import MissionWatch, watching
from runtime.brain.services import Services
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import async_client, dialer

WORKERS = 4
SLOTS = 4


@asynccontextmanager
async def many_services(redis_url: str, database_url: str) -> AsyncIterator[list[Services]]:
    """Open what each worker has of its own: as the composition root does."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(WORKERS):
            engine = database.engine(database_url, concurrency=SLOTS + 1)
            stack.push_async_callback(engine.dispose)
            redis = async_client(redis_url)
            stack.push_async_callback(redis.aclose)
            queue = await stack.enter_async_context(TaskQueue(redis_url))
            opened.append(Services(engine, redis, queue=queue))
        yield opened


@asynccontextmanager
async def serving(
    brokers: list[Broker], services: list[Services], *more: Handlers
) -> AsyncIterator[None]:
    """Run one worker for each of the services, with BRAiN's handlers and more."""
    async with anyio.create_task_group() as group:
        workers = []
        for broker, own in zip(brokers, services, strict=True):
            handlers = Handlers()
            for registry in (brain_handlers(own), *more):
                handlers.include(registry.values())
            workers.append(Worker(broker, handlers, concurrency=SLOTS))
            await group.start(workers[-1].run)
        yield
        for worker in workers:
            worker.request_stop()


@asynccontextmanager
async def fleet(
    redis_url: str, database_url: str, *more: Handlers
) -> AsyncIterator[list[Services]]:
    """Run workers on a real server, each with its watch over missions."""
    async with many_services(redis_url, database_url) as services, AsyncExitStack() as stack:
        for own in services:
            backoff = ReconnectBackoff(random.random)
            watch = MissionWatch(own, dialer(redis_url), backoff)
            await stack.enter_async_context(watching(watch))
        brokers: list[Broker] = [RedisBroker(redis_url) for _ in services]
        async with serving(brokers, services, *more):
            yield services
