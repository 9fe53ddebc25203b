"""Whether a server can carry the pool, and what its operator should know.

Deciding is a plain function of what the server says of itself; asking is a thin shell around it.
"""

from collections.abc import Mapping
from typing import Any, Final

import redis.asyncio
from redis.exceptions import BusyLoadingError, ResponseError

from runtime.errors import ServerRefusedError
from runtime.redis.failures import describe

# Scripts that may run on a full server (`#!lua flags=allow-oom`) came with these.
_OLDEST: Final = {"Redis": (7, 0), "Valkey": (7, 2)}


async def check_server(client: redis.asyncio.Redis) -> list[str]:
    """Ask a server what it is.

    Sections that a managed server leaves out, and commands that its access rules forbid, are no
    reason to fail. A cancellation closes the connection in use and leaves nothing else behind.

    Returns:
        Warnings for the operator, one line each.

    Raises:
        ServerRefusedError: it is too old, in cluster mode, a replica or a Sentinel.
        BusyLoadingError: it is still loading its data; try again.
        RedisError: the connection failed.
    """
    try:
        info = await client.info()
    except ResponseError as error:
        why = describe(error)
        return [f"The Redis server's version and settings can't be checked: {why}"]
    return assess(info, await _save_points(client))


def assess(info: Mapping[str, Any], save_points: str | None) -> list[str]:
    """Judge a server by its INFO, as redis-py parses it.

    Args:
        info: all default sections; any of its fields may be missing.
        save_points: CONFIG GET save; empty for none, None where unknown.

    Returns:
        Warnings, one line each.

    Raises:
        ServerRefusedError: the pool can't work with it.
        BusyLoadingError: it is still loading its data; try again.
    """
    refusal = _kind(info) or _role(info)
    if refusal:
        raise ServerRefusedError(refusal)
    if _flag(info, "loading"):
        # As the server itself answers other commands now, for whoever waits and tries again.
        raise BusyLoadingError("Redis is loading the dataset in memory")
    warnings = (_version_warning(info), _eviction(info), _persistence(info, save_points))
    return [warning for warning in warnings if warning]


async def _save_points(client: redis.asyncio.Redis) -> str | None:
    try:
        return str((await client.config_get("save"))["save"])
    except (ResponseError, KeyError):
        return None


def _kind(info: Mapping[str, Any]) -> str | None:
    if info.get("redis_mode") == "sentinel":
        return "it is a Sentinel, so let REDIS_URL name the primary that it watches"
    if info.get("redis_mode") == "cluster" or _flag(info, "cluster_enabled"):
        return (
            "it runs in cluster mode, where a task's queue and its result would lie in different "
            "slots, so let REDIS_URL name a server with cluster-enabled no"
        )
    name, version = _version(info)
    oldest = _OLDEST[name]
    if version and _numbers(version) < oldest:
        needed = ".".join(map(str, oldest))
        return f"it is {name} {version}, and {name} {needed} or newer is needed"
    return None


def _role(info: Mapping[str, Any]) -> str | None:
    if info.get("role") not in ("slave", "replica"):
        return None
    primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
    return f"it is a replica of {primary}, which takes no writes, so let REDIS_URL name the primary"


def _version(info: Mapping[str, Any]) -> tuple[str, str]:
    # Valkey reports a redis_version as well, the one that it is compatible with. redis-py makes
    # a number of a version with one dot.
    if info.get("server_name") == "valkey" or "valkey_version" in info:
        return "Valkey", str(info.get("valkey_version", ""))
    return "Redis", str(info.get("redis_version", ""))


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _version_warning(info: Mapping[str, Any]) -> str | None:
    name, version = _version(info)
    if version:
        return None
    needed = ".".join(map(str, _OLDEST[name]))
    return f"The Redis server doesn't tell its version; {name} {needed} or newer is needed"


def _eviction(info: Mapping[str, Any]) -> str | None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    return (
        f"The Redis server's maxmemory-policy is {policy}: when it is full it may drop queues and "
        "results; set it to noeviction"
    )


def _persistence(info: Mapping[str, Any], save_points: str | None) -> str | None:
    # Where CONFIG is forbidden the save points are unknown, and unknown isn't none.
    if _flag(info, "aof_enabled") or "aof_enabled" not in info or save_points != "":
        return None
    return (
        "The Redis server keeps nothing on disk: a restart loses all tasks; set appendonly yes, "
        "or save points"
    )


def _flag(info: Mapping[str, Any], name: str) -> bool:
    return str(info.get(name, 0)) not in ("0", "0.0", "")
