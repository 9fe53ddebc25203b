"""The way to BRAiN's database: its URL, the engine with its pool, and transactions that retry."""

import errno
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg  # type: ignore[import-untyped]  # it has annotations, but no py.typed
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from runtime import tls
from runtime.brain.errors import (
    BrainError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    DatabaseUrlError,
)

T = TypeVar("T")

SCHEMES: Final = ("postgresql+asyncpg", "postgresql", "postgres")
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
STATEMENT_TIMEOUT_S: Final = 30
# The client gives up later than the server: it is for a link that no longer carries answers.
COMMAND_TIMEOUT_S: Final = 40
CONNECT_TIMEOUT_S: Final = 10
POOL_TIMEOUT_S: Final = 30
TRANSACTION_ATTEMPTS: Final = 5
# Serialization failure, deadlock: the server has rolled back, the same work may succeed at once.
# So it may when the server is shutting down or has crashed, on another connection.
RETRYABLE_STATES: Final = frozenset({"40001", "40P01", "57P01", "57P02"})


def parse_url(url: str) -> URL:
    """Read a `DATABASE_URL`; `postgres://` and `postgresql://` mean asyncpg too.

    Raises:
        DatabaseUrlError: It isn't a PostgreSQL URL. Its password isn't repeated.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in SCHEMES:
        raise DatabaseUrlError(
            f"begins with {scheme + '://'!r}" if scheme else "isn't a URL: it has no scheme"
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # What a URL without a sane host or port holds may be the password: none of it is shown.
        raise DatabaseUrlError("has a host or port that can't be read") from None
    if parsed.port is not None and not 0 < parsed.port < 65536:  # noqa: PLR2004 -- TCP's ports
        raise DatabaseUrlError(f"has port {parsed.port}, which is not within 1 to 65535")
    for option in _FILES:
        file = parsed.query.get(option)
        if isinstance(file, str) and not Path(file).is_file():
            raise DatabaseUrlError(f"names {file!r} as its {option}, where there is no file")
    return parsed.set(drivername="postgresql+asyncpg")


def address(url: URL) -> str:
    """Return where a URL leads, without user and password, for people."""
    query_host = url.query.get("host")
    host = url.host or (query_host if isinstance(query_host, str) else None) or "localhost"
    port = f":{url.port}" if url.port is not None else ""
    return f"{host}{port}/{url.database or ''}"


def engine(url: str, *, concurrency: int, application_name: str = "brain-worker") -> AsyncEngine:
    """Make the engine of BRAiN's database; nothing is connected before its first use.

    Args:
        url: `DATABASE_URL`. Options in its query are PostgreSQL's own (`host`, `sslmode`, ...).
        concurrency: How many transactions may be open at a time: the pool holds one connection for
            each, and makes them when they are needed.
        application_name: How `pg_stat_activity` names the connections.

    Raises:
        DatabaseUrlError: The URL can't be read.
    """
    parsed = parse_url(url)
    connect = _connector(parsed, application_name)
    return create_async_engine(
        parsed.set(query={}),
        async_creator=connect,
        isolation_level="READ COMMITTED",
        pool_size=concurrency,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _connector(url: URL, application_name: str) -> Callable[..., Awaitable[Any]]:
    options = dict(url.query)
    # SQLAlchemy's asyncpg dialect calls `ssl` what PostgreSQL's own URLs call `sslmode`.
    if "ssl" in options:
        options["sslmode"] = options.pop("ssl")
    dsn = url.set(drivername="postgresql", query=options).render_as_string(hide_password=False)
    settings = {
        "application_name": application_name,
        "statement_timeout": str(STATEMENT_TIMEOUT_S * 1000),
        # A worker that is suspended within a transaction must not keep a cluster locked.
        "idle_in_transaction_session_timeout": str(2 * STATEMENT_TIMEOUT_S * 1000),
    }

    async def connect(*_: object, **__: object) -> Any:
        try:
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=settings,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise DatabaseUnreachableError(address(url), _why(error)) from error

    return connect


def _why(error: Exception) -> str:
    match error:
        case ssl.SSLError():
            return tls.why(error, "DATABASE_URL", "sslrootcert")
        case ConnectionError() if "rejected SSL" in str(error):
            return "it speaks no TLS, and sslmode in DATABASE_URL asks for it"
        case TimeoutError():
            return f"no answer within {CONNECT_TIMEOUT_S} s"
        # asyncio puts the failures of a name with several addresses into one text.
        case OSError() if f"[Errno {errno.ECONNREFUSED}]" in str(error):
            return "the connection is refused"
        case FileNotFoundError():
            return "there is no such socket"
        case _:
            return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def may_come(error: DatabaseUnreachableError) -> bool:
    """Tell whether waiting may help: what refuses us, or isn't trusted, stays so."""
    cause = error.__cause__
    if cause is None or tls.is_final(cause) or "rejected SSL" in str(cause):
        return False
    return isinstance(
        cause, OSError | asyncpg.CannotConnectNowError | asyncpg.TooManyConnectionsError
    )


async def transaction(db: AsyncEngine, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run `work` in one transaction and commit it; conflicts and lost connections are tried again.

    That is done at once: after a conflict the server has rolled back, and instead of a connection
    that was lost a new one is made. If it was lost during the commit, nobody knows whether the work
    was done: so `work` must find what it did when it runs again.

    `work` gets a new session at each attempt and must do nothing but database work: it may run
    up to five times. What it returns may be read after the commit.

    A cancellation rolls back, unless it comes during the commit: then either may be.

    Raises:
        DatabaseUnreachableError: No connection could be made, or each one was lost.
        DatabaseRefusedError: The database refused, or there was a conflict at every attempt.
    """
    for _ in range(TRANSACTION_ATTEMPTS - 1):
        try:
            return await _once(db, work)
        except DBAPIError as error:
            if not _may_succeed(error):
                raise _in_words(db, error) from error
    try:
        return await _once(db, work)
    except DBAPIError as error:
        raise _in_words(db, error) from error


async def _once(db: AsyncEngine, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    async with AsyncSession(db, expire_on_commit=False) as session, session.begin():
        return await work(session)


def _may_succeed(error: DBAPIError) -> bool:
    return error.connection_invalidated or _state(error) in RETRYABLE_STATES


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _in_words(db: AsyncEngine, error: DBAPIError) -> BrainError:
    """Return what people read instead of SQLAlchemy's text, which is full of SQL."""
    cause = getattr(error.orig, "__cause__", None) or error.orig
    why = str(cause).strip().split("\n")[0].rstrip(".") or type(cause).__name__
    if error.connection_invalidated:
        return DatabaseUnreachableError(address(db.url), why)
    return DatabaseRefusedError(address(db.url), why, _state(error))
