"""What a failure of the connection means, in words for people and in kinds for programs."""

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from redis import exceptions

from runtime import tls

_LONGEST: Final = 200
_CLIENTS_FULL: Final = "max number of clients"
_IN_SCRIPT: Final = "acl failure in script: "
_REFUSED: Final = "connection refused: nothing listens there"
_SILENT: Final = "it didn't answer in time"


def describe(error: BaseException) -> str:
    """Return why a Redis call failed: a clause without a full stop and without secrets."""
    for cause in _chain(error):
        if words := _known(cause):
            return words
    return f"{type(error).__name__}: {_plain(error)}"


def is_reply(error: BaseException) -> bool:
    """Tell whether the server itself said no, so that it did nothing of what was asked."""
    if isinstance(error, exceptions.ConnectionError) and _CLIENTS_FULL in str(error):
        return True
    return isinstance(
        error,
        exceptions.ResponseError
        | exceptions.BusyLoadingError
        | exceptions.AuthenticationError
        | exceptions.AuthorizationError,
    )


def is_forbidden(error: BaseException) -> bool:
    """Tell whether the server denies us the right: trying again won't help."""
    forbidden = (
        exceptions.AuthenticationError
        | exceptions.AuthorizationError
        | exceptions.NoPermissionError
    )
    return any(isinstance(cause, forbidden) for cause in _chain(error))


def is_final(error: BaseException) -> bool:
    """Tell whether waiting for the server is in vain: it, or its certificate, won't have us."""
    return any(map(tls.is_final, _chain(error))) or is_forbidden(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    # redis-py wraps what it catches, at times without naming it as the cause.
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


# The first that fits counts. A sentence with {} takes in the server's own words.
_WORDS: Final[tuple[tuple[type[BaseException], str, str], ...]] = (
    (exceptions.BusyLoadingError, "", "it is still loading its data"),
    (
        exceptions.AuthenticationError,
        "required",
        "it asks for a password and REDIS_URL has none",
    ),
    (
        exceptions.AuthenticationError,
        "",
        "it refuses the user name or the password in REDIS_URL",
    ),
    (exceptions.NoPermissionError, "", "its access rules forbid it ({})"),
    (exceptions.AuthorizationError, "", "its access rules forbid it ({})"),
    # A script's command that is forbidden isn't told by a kind of its own.
    (exceptions.ResponseError, _IN_SCRIPT, "its access rules forbid it ({})"),
    (exceptions.OutOfMemoryError, "", "it is full (maxmemory is reached)"),
    (exceptions.ReadOnlyError, "", "it is a replica that takes no writes"),
    (exceptions.ResponseError, "", "it answered: {}"),
    (exceptions.InvalidResponse, "", "what answers there doesn't speak the Redis protocol"),
    (exceptions.ConnectionError, _CLIENTS_FULL, "it has reached its maxclients"),
    (exceptions.ConnectionError, "closed by server", "it closed the connection"),
    (exceptions.TimeoutError, "", _SILENT),
    (socket.gaierror, "", "its host name can't be resolved"),
    (TimeoutError, "", _SILENT),
    (ConnectionRefusedError, "", _REFUSED),
    (FileNotFoundError, "", "there is no such socket"),
    (PermissionError, "", "this user may not open its socket"),
    (ConnectionResetError, "", "it closed the connection"),
    (BrokenPipeError, "", "it closed the connection"),
    # asyncio tells of a name with several addresses in one error without a number.
    (OSError, "[errno 111]", _REFUSED),
)


def _known(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLError):
        return tls.why(error, "REDIS_URL", "ssl_ca_certs")
    for kind, mark, words in _WORDS:
        if isinstance(error, kind) and mark in str(error).lower():
            return words.format(_plain(error))
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else None


def _plain(error: BaseException) -> str:
    text = " ".join(str(error).split())
    # An unknown command's reply quotes its arguments, a password among them.
    text = re.split(r",? with args beginning with", text, maxsplit=1)[0]
    if text.lower().startswith(_IN_SCRIPT):
        text = re.split(r" script: ", text[len(_IN_SCRIPT) :], maxsplit=1)[0]
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
