"""Connections to the Redis server, configured in this one place.

| where | what |
|---|---|
| `address` | reading and showing a REDIS_URL |
| `failures` | what an error means |
| `backoff` | pauses between attempts |
| here | clients of redis-py, blocking and not, and single connections |

What is the same for all: redis-py retries nothing (one RPUSH became two entries), there are no
health checks in between, replies stay bytes, and RESP2 is spoken, which every server and proxy
knows, needs no greeting and works with hiredis at full speed.

With a `socket_timeout`, redis-py 8 on Python 3.11 sends each command under `asyncio.wait_for`,
which can swallow a cancellation that comes in the very turn in which the command has been sent.
Who must obey a plain `Task.cancel()` opens its client without one and puts the calls under
`asyncio.timeout`, as `runtime.redis.links` does.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import redis
import redis.asyncio
import redis.asyncio.connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

from runtime.redis.address import RedisAddress, parse_url, safe_url
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.failures import describe
from runtime.redis.links import Link

__all__ = [
    "ReconnectBackoff",
    "RedisAddress",
    "async_client",
    "describe",
    "dialer",
    "parse_url",
    "safe_url",
    "sync_client",
]

_DRIVER: Final = "brain-worker-pool"


def async_client(
    url: str | RedisAddress,
    *,
    socket_timeout: float | None = 5.0,
    max_connections: int = 10,
    client_name: str | None = None,
    single_connection: bool = False,
) -> redis.asyncio.Redis:
    """Return an asyncio client, not yet connected; end it with `aclose()`.

    Args:
        url: a REDIS_URL, or one that was read already.
        socket_timeout: bound of each read and write, in seconds; None for none. A blocking
            command has to end sooner.
        max_connections: calls beyond that many at a time wait for a connection.
        client_name: shown by CLIENT LIST; needs the right to CLIENT SETNAME.
        single_connection: whether the client keeps to one connection and calls take turns on it.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    address = _address(url)
    module = redis.asyncio.connection
    pool = redis.asyncio.BlockingConnectionPool(
        max_connections=1 if single_connection else max_connections,
        timeout=None,
        connection_class=_connection_class(address, module),
        retry=AsyncRetry(NoBackoff(), 0),
        **_options(address, socket_timeout, client_name),
    )
    client = redis.asyncio.Redis(connection_pool=pool, single_connection_client=single_connection)
    # As `Redis.from_pool` does, which has no say in the single connection.
    client.auto_close_connection_pool = True
    return client


def sync_client(
    url: str | RedisAddress,
    *,
    socket_timeout: float | None = 5.0,
    max_connections: int = 10,
    client_name: str | None = None,
) -> redis.Redis:
    """Return a blocking client, not yet connected; end it with `close()`.

    Args:
        url: a REDIS_URL, or one that was read already.
        socket_timeout: bound of each read and write, in seconds; None for none.
        max_connections: more calls than that at a time, from several threads, are an error.
        client_name: shown by CLIENT LIST; needs the right to CLIENT SETNAME.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    address = _address(url)
    pool = redis.ConnectionPool(
        max_connections=max_connections,
        connection_class=_connection_class(address, redis.connection),
        retry=Retry(NoBackoff(), 0),
        **_options(address, socket_timeout, client_name),
    )
    return redis.Redis.from_pool(pool)


def dialer(url: str | RedisAddress, *, client_name: str | None = None) -> Callable[[], Link]:
    """Return a function that makes single asyncio connections, not yet open, without time-outs.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    address = _address(url)
    connection_class = _connection_class(address, redis.asyncio.connection)
    options = _options(address, None, client_name)

    def dial() -> Link:
        return cast("Link", connection_class(**options))

    return dial


def _address(url: str | RedisAddress) -> RedisAddress:
    return parse_url(url) if isinstance(url, str) else url


def _connection_class(address: RedisAddress, module: Any) -> Any:
    """Return the class for a scheme from redis-py's blocking or asyncio module."""
    match address.scheme:
        case "unix":
            return module.UnixDomainSocketConnection
        case "rediss":
            return module.SSLConnection
        case _:
            return module.Connection


def _options(
    address: RedisAddress, socket_timeout: float | None, client_name: str | None
) -> dict[str, Any]:
    place: dict[str, Any] = (
        {"path": address.path}
        if address.scheme == "unix"
        else {"host": address.host, "port": address.port, "socket_keepalive": True}
    )
    return {
        **place,
        **address.tls,
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": address.connect_timeout,
        "health_check_interval": 0,
        "client_name": client_name,
        # CLIENT SETINFO: unlike SETNAME it may be forbidden without harm.
        "driver_info": DriverInfo(name=_DRIVER, lib_version=None),
        "protocol": 2,
    }
