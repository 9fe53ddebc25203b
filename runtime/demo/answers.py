"""Hears the answers as any subscriber of the contract's channel does, so that none counts twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from runtime.demo.errors import DemoError
from runtime.demo.record import Record
from runtime.redis import keys
from runtime.redis.connection import async_client, describe

_SUBSCRIBED_WITHIN: Final = 5.0


@asynccontextmanager
async def heard(url: str, record: Record) -> AsyncIterator[asyncio.Task[None]]:
    """Hear all answers during the block; the task that is given ends only with an error.

    Raises:
        DemoError: the server doesn't let us subscribe.
    """
    client = async_client(url, socket_timeout=None)
    channel = client.pubsub()
    try:
        await _subscribe(channel)
        listening = asyncio.create_task(_listen(channel, record))
        try:
            yield listening
        finally:
            listening.cancel()
            await asyncio.wait([listening])
    finally:
        await channel.aclose()  # type: ignore[no-untyped-call]  # redis-py has no annotation there
        await client.aclose()


async def _subscribe(channel: PubSub) -> None:
    try:
        async with asyncio.timeout(_SUBSCRIBED_WITHIN):
            await channel.subscribe(keys.RESULTS_CHANNEL)
            # Only when the server has said so is every answer heard that comes.
            while await channel.get_message(timeout=_SUBSCRIBED_WITHIN) is None:
                pass
    except (RedisError, TimeoutError) as error:
        raise DemoError(f"The answers can't be heard: {describe(error)}.") from error


async def _listen(channel: PubSub, record: Record) -> None:
    try:
        async for message in channel.listen():
            if message["type"] == "message":
                answer = msgspec.json.decode(message["data"], type=dict[str, Any])
                record.hear(str(answer.get("task_id")), answer)
    except RedisError as error:
        raise DemoError(f"The answers aren't heard any more: {describe(error)}.") from error
