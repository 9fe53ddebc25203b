"""The watch over missions, on real servers: what it hears, and what it finds out later."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest

from runtime.brain.delegate_task import delegate_task
from runtime.brain.mission_watch import MissionWatch, Pace, watching
from runtime.brain.services import Services
from runtime.redis import keys
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import dialer
from tests.brain.conftest import World
from tests.brain.orders import delegation, team
from tests.polling import eventually_awaited
from tests.relay import Relay, relay
from tests.servers import Postgres, Valkey

pytestmark = pytest.mark.anyio

_NEVER = 3600.0
_PACE = Pace(look=_NEVER, again=_NEVER)


def watch(services: Services, url: str, pace: Pace = _PACE) -> MissionWatch:
    return MissionWatch(services, dialer(url), ReconnectBackoff(random.random, cap=0.1), pace)


async def mission(services: Services, task_id: str = "t") -> str:
    """Delegate a mission and return its id."""
    return (await delegate_task(delegation(), task_id, services))["mission"]["task_id"]


async def answer(services: Services, mission_id: str, *, publish: bool = True) -> None:
    """Answer a mission, as a worker does."""
    body = json.dumps({"task_id": mission_id, "success": True, "duration_ms": 1000, "result": {}})
    await services.redis.set(keys.result(mission_id), body)
    if publish:
        await services.redis.publish(keys.RESULTS_CHANNEL, body)
        await services.redis.publish(keys.result(mission_id), body)


async def until_counted(world: World, count: int = 1) -> None:
    """Wait until so many missions of the team have ended, which leaves nobody busy."""

    async def counted() -> bool:
        return (await world.get_cluster()).tasks_completed >= count

    await eventually_awaited(counted, what=f"{count} missions are counted")
    assert "busy" not in (await world.statuses()).values()


async def subscribed(services: Services, count: int = 1) -> None:
    """Wait until so many watches have subscribed, and one of them has looked."""

    async def listening() -> bool:
        clients = await services.redis.client_list("pubsub")
        looked = await services.redis.exists(keys.MISSION_LOOK)
        return bool(looked) and sum(client["psub"] == "1" for client in clients) >= count

    await eventually_awaited(listening, what=f"{count} watches listen")


@pytest.fixture
async def crew(world: World) -> None:
    """Team `c` with two idle workers."""
    await team(world)
    for name in ("w1", "w2"):
        await world.agent(name, status="idle", supervisor_id="boss")


@pytest.mark.usefixtures("crew")
async def test_an_answer_that_is_heard_frees_its_agent(
    services: Services, world: World, redis_url: str
) -> None:
    """Of three watches that hear of an end one frees the agent; other answers are nobody's."""
    async with (
        watching(watch(services, redis_url)),
        watching(watch(services, redis_url)),
        watching(watch(services, redis_url)),
    ):
        await subscribed(services, 3)
        await answer(services, "mission-of-somebody-else")
        await answer(services, "another")
        for number in range(1, 6):
            await answer(services, await mission(services, f"t{number}"))
            await until_counted(world, number)
    assert (await world.get_cluster()).tasks_completed == 5
    assert not await services.redis.keys("brain:mission:*")


@pytest.mark.usefixtures("crew")
async def test_what_ended_before_is_found_at_the_start(
    services: Services, world: World, redis_url: str
) -> None:
    """A watch that has subscribed looks for what was published before."""
    await answer(services, await mission(services))
    async with watching(watch(services, redis_url)):
        await until_counted(world)


@pytest.mark.usefixtures("crew")
async def test_what_nobody_heard_is_found_in_time(
    services: Services, world: World, redis_url: str
) -> None:
    """An answer that was stored and never published is found by a later look."""
    async with watching(watch(services, redis_url, Pace(look=0.1, again=_NEVER))):
        await subscribed(services)
        await answer(services, await mission(services), publish=False)
        await services.redis.delete(keys.MISSION_LOOK)
        await until_counted(world)


@pytest.mark.usefixtures("crew")
async def test_what_is_left_is_found_at_the_end(
    services: Services, world: World, redis_url: str
) -> None:
    """A watch that ends looks once more, whoever else has looked just now."""
    async with watching(watch(services, redis_url)):
        await subscribed(services)
        await answer(services, await mission(services), publish=False)
    assert (await world.get_cluster()).tasks_completed == 1


@pytest.fixture
async def line(valkey_server: Valkey, redis_url: str) -> AsyncIterator[Relay]:
    """A relay between a watch and the server."""
    del redis_url
    async with relay(valkey_server.socket) as between:
        yield between


@pytest.mark.usefixtures("crew")
async def test_a_lost_connection_is_replaced(
    services: Services, world: World, valkey_server: Valkey, redis_url: str
) -> None:
    """What ends while a watch is cut off is found when it is back, and later ends are heard."""
    async with watching(watch(services, redis_url)):
        await subscribed(services)
        first = await mission(services, "t1")
        await answer(services, first, publish=False)
        await services.redis.delete(keys.MISSION_LOOK)
        with valkey_server.client() as client:
            client.client_kill_filter(_type="pubsub")
        await until_counted(world, 1)
        await answer(services, await mission(services, "t2"))
        await until_counted(world, 2)


@pytest.mark.usefixtures("crew")
async def test_a_connection_that_fell_silent_is_replaced(
    services: Services, world: World, line: Relay
) -> None:
    """A connection that no longer carries anything is noticed and replaced."""
    url = f"redis://127.0.0.1:{line.port}/0"
    async with watching(watch(services, url, Pace(_NEVER, _NEVER, silence=0.1))):
        await subscribed(services)
        await answer(services, await mission(services), publish=False)
        await services.redis.delete(keys.MISSION_LOOK)
        line.fall_silent()
        await until_counted(world)


async def heard(services: Services, key: str) -> bool:
    return not await services.redis.exists(key)


@pytest.mark.usefixtures("crew")
async def test_a_database_that_is_gone_is_waited_for(
    services: Services, world: World, redis_url: str, postgres_server: Postgres
) -> None:
    """An end that is heard while the database is gone is counted soon after it is back."""
    async with watching(watch(services, redis_url, Pace(_NEVER, again=0.05))):
        await subscribed(services)
        first = await mission(services)
        await asyncio.to_thread(postgres_server.stop)
        await answer(services, first)
        key = keys.mission_agent(first)
        await eventually_awaited(lambda: heard(services, key), what="the answer is heard")
        await services.redis.delete(keys.MISSION_LOOK)
        await asyncio.to_thread(postgres_server.start)
        await until_counted(world)


@pytest.mark.usefixtures("crew")
async def test_without_the_right_to_subscribe_it_still_looks(
    services: Services, world: World, valkey_server: Valkey, redis_url: str
) -> None:
    """Access rules that forbid the subscription make the watch slower, not idle."""
    with valkey_server.client() as client:
        client.acl_setuser("deaf", enabled=True, nopass=True, categories=["+@all"], keys=["*"])
    url = redis_url.replace("redis://", "redis://deaf:x@")
    async with watching(watch(services, url, Pace(look=0.1, again=_NEVER))):
        await answer(services, await mission(services))
        await services.redis.delete(keys.MISSION_LOOK)
        await until_counted(world)
