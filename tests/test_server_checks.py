from collections.abc import Mapping

import pytest
from redis.exceptions import BusyLoadingError

from runtime.errors import ServerRefusedError
from runtime.redis.connection import async_client
from runtime.redis.server_checks import assess, check_server
from tests.servers import Valkey, make_valkey

pytestmark = pytest.mark.anyio

GOOD = {
    "redis_version": "7.4.1",
    "redis_mode": "standalone",
    "role": "master",
    "loading": 0,
    "aof_enabled": 1,
    "cluster_enabled": 0,
    "maxmemory_policy": "noeviction",
}
VALKEY = GOOD | {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    "info",
    [
        GOOD,
        VALKEY,
        GOOD | {"redis_version": 7.0},
        GOOD | {"redis_version": "255.255.255"},
        GOOD | {"redis_version": "8.0-rc1"},
        VALKEY | {"valkey_version": "7.2.5", "redis_version": "6.0.0"},
    ],
)
def test_good_servers(info: Mapping[str, object]) -> None:
    """A server that can carry the pool and keeps its data gives no warning."""
    assert assess(info, "") == []


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (GOOD | {"redis_version": "6.2.14"}, "Redis 6.2.14, and Redis 7.0 or newer is needed"),
        (GOOD | {"redis_version": 6.0}, "Redis 6.0, and"),
        (VALKEY | {"valkey_version": "7.1.9"}, "Valkey 7.1.9, and Valkey 7.2 or newer"),
        (GOOD | {"redis_mode": "cluster"}, "cluster mode"),
        (GOOD | {"cluster_enabled": 1}, "cluster mode"),
        (GOOD | {"redis_mode": "sentinel"}, "Sentinel"),
        (GOOD | {"role": "slave", "master_host": "h", "master_port": 1}, "a replica of h:1"),
        (GOOD | {"role": "slave", "loading": 1}, "replica"),
    ],
)
def test_refused(info: Mapping[str, object], words: str) -> None:
    """A server that the pool can't work with is refused in one sentence."""
    with pytest.raises(ServerRefusedError) as caught:
        assess(info, "")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading() -> None:
    """A server that still loads its data is one to try again."""
    with pytest.raises(BusyLoadingError):
        assess(GOOD | {"loading": 1}, "")


@pytest.mark.parametrize(
    ("info", "save_points", "words"),
    [
        (GOOD | {"maxmemory_policy": "allkeys-lru"}, "", ["maxmemory-policy is allkeys-lru"]),
        (GOOD | {"aof_enabled": 0}, "", ["keeps nothing on disk"]),
        (GOOD | {"aof_enabled": 0}, "3600 1", []),
        (GOOD | {"aof_enabled": 0}, None, []),
        ({}, None, ["doesn't tell its version"]),
        ({}, "", ["doesn't tell its version"]),
    ],
)
def test_warnings(info: Mapping[str, object], save_points: str | None, words: list[str]) -> None:
    """Eviction, no persistence and no version are one line each; the unknown is no fault."""
    warnings = assess(info, save_points)
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


async def test_real_server(redis_url: str, valkey_server: Valkey) -> None:
    """A real Valkey without persistence and with eviction gives these two warnings."""
    async with async_client(redis_url) as client:
        assert ["nothing on disk" in line for line in await check_server(client)] == [True]
        with valkey_server.client() as admin:
            admin.config_set("maxmemory-policy", "allkeys-lru")
        eviction, persistence = await check_server(client)
        assert "allkeys-lru" in eviction
        assert "nothing on disk" in persistence


async def test_persistent_server() -> None:
    """A real Valkey with an append-only file, or with save points, gives no warning."""
    for server in (make_valkey(appendonly=True), make_valkey(extra=["--save", "3600 1"])):
        with server as valkey:
            async with async_client(valkey.url) as client:
                assert await check_server(client) == []


async def test_forbidden_commands(redis_url: str, valkey_server: Valkey) -> None:
    """What the access rules hide can't be checked, and doesn't stop the worker."""
    with valkey_server.client() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        admin.execute_command("ACL", "SETUSER", "bob", "on", ">p", "~*", "+@all", "-config")
        admin.execute_command("ACL", "SETUSER", "eve", "on", ">p", "~*", "+@all", "-info")
    async with async_client(redis_url.replace("//", "//bob:p@")) as client:
        assert ["allkeys-lru" in line for line in await check_server(client)] == [True]
    async with async_client(redis_url.replace("//", "//eve:p@")) as client:
        assert ["can't be checked" in line for line in await check_server(client)] == [True]


async def test_cluster_mode() -> None:
    """A real Valkey in cluster mode is refused."""
    with make_valkey(extra=["--cluster-enabled", "yes"]) as server:
        async with async_client(server.url) as client:
            with pytest.raises(ServerRefusedError, match="cluster mode"):
                await check_server(client)


async def test_replica() -> None:
    """A real replica is refused, and its primary is named."""
    with (
        make_valkey() as primary,
        make_valkey(extra=["--replicaof", f"127.0.0.1 {primary.port}"]) as server,
    ):
        async with async_client(server.url) as client:
            with pytest.raises(ServerRefusedError, match=f"127.0.0.1:{primary.port}"):
                await check_server(client)
