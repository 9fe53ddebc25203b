"""Where the server is: reading a REDIS_URL strictly, and showing one without its secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from attrs import field, frozen
from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS

from runtime.errors import ConfigurationError

SCHEMES: Final = ("redis", "rediss", "unix")
_FORMS: Final = (
    "redis://[user:password@]host:port/db, rediss://… for TLS, or unix:///path/to/socket?db=0"
)
_LOGIN: Final = ("username", "password")
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_TLS: Final = (
    *_TLS_FILES,
    "ssl_ca_data",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_exclude_verify_flags",
    "ssl_include_verify_flags",
    "ssl_min_version",
    "ssl_password",
)
# Options that redis-py reads from URLs and that other programs may need in theirs. The pool
# decides them itself: a retried command would be a task pushed twice, and so on.
_OURS: Final = (
    "client_name",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "legacy_responses",
    "max_connections",
    "protocol",
    "retry_on_timeout",
    "socket_keepalive",
    "socket_read_size",
    "socket_timeout",
    "timeout",
)
_KNOWN: Final = ("db", "socket_connect_timeout", *_LOGIN, *_TLS)


@frozen
class RedisAddress:
    """A REDIS_URL, read.

    Attributes:
        scheme: `redis`, `rediss` (TLS) or `unix`.
        host: name or address; unused with `unix`.
        port: TCP port; unused with `unix`.
        path: the socket's path; unused without `unix`.
        db: number of the database.
        username: ACL user, None for the default one.
        password: None for a server without.
        connect_timeout: seconds to wait for a connection.
        tls: redis-py's `ssl_…` options.
        ignored: names of options in the URL that the pool decides itself.
    """

    scheme: str
    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    connect_timeout: float = 5.0
    tls: Mapping[str, Any] = field(factory=dict, repr=False)
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        login = "***@" if self.username or self.password else ""
        if self.scheme == "unix":
            return f"unix://{login}{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{login}{host}:{self.port}/{self.db}"


def parse_url(url: str) -> RedisAddress:
    """Read a REDIS_URL.

    Raises:
        ConfigurationError: it can't be one; names what is wrong, without the password.
    """
    url = url.strip()
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES or "://" not in url:
        _refuse(url, _FORMS)
    if "#" in url:
        _refuse(url, "no '#': write %23 for one in a password")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse(
            url,
            "a port from 1 to 65535 and an IPv6 host in brackets; in a password, write "
            "%2F for '/', %3F for '?', %40 for '@', %3A for ':'",
        )
    options = _options(url, parts)
    address: dict[str, Any] = {
        "scheme": scheme,
        "db": _db(url, parts, options),
        "username": options.get("username") or unquote(parts.username or "") or None,
        "password": options.get("password") or unquote(parts.password or "") or None,
        "connect_timeout": options.get("socket_connect_timeout") or 5.0,
        "tls": {name: value for name, value in options.items() if name in _TLS},
        "ignored": tuple(name for name in options if name in _OURS),
    }
    if scheme == "unix":
        return RedisAddress(path=_socket_path(url, parts), **address)
    return RedisAddress(
        host=unquote(parts.hostname or "localhost"), port=6379 if port is None else port, **address
    )


def safe_url(url: str) -> str:
    """Return a URL, right or wrong, as it may be shown and logged: without anything secret."""
    try:
        return str(parse_url(url))
    except ConfigurationError:
        return _masked(url)


def _masked(url: str) -> str:
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "", scheme
    login, at, rest = rest.rpartition("@")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    if not at:
        # `redis://:secret`, its host forgotten, would show the password as the port.
        rest = re.sub(r":(?!\d{1,6}(/|$))[^/\]]*(?=/|$)", ":***", rest)
    return f"{scheme}{separator}{'***@' if login else ''}{rest}"


def _refuse(url: str, expected: str) -> NoReturn:
    came = repr(_masked(url)) if url else "empty"
    raise ConfigurationError("REDIS_URL", came, expected) from None


def _options(url: str, parts: SplitResult) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _KNOWN and name not in _OURS:
            _refuse(url, f"no option {name!r}; known are {', '.join(_KNOWN)}")
        try:
            options[name] = URL_QUERY_ARGUMENT_PARSERS.get(name, str)(text)
        except (TypeError, ValueError):
            _refuse(url, f"a number or flag as redis-py reads it in its option {name!r}")
    _check_tls(url, parts, options)
    return options


def _check_tls(url: str, parts: SplitResult, options: Mapping[str, Any]) -> None:
    named = [name for name in options if name in _TLS]
    if named and parts.scheme != "rediss":
        _refuse(url, f"rediss:// with the option {named[0]!r}")
    if options.get("ssl_cert_reqs", "required") not in ("none", "optional", "required"):
        _refuse(url, "none, optional or required as its option 'ssl_cert_reqs'")
    for name in _TLS_FILES:
        if name in options and not Path(options[name]).exists():
            _refuse(url, f"a file that exists as its option {name!r}, not {options[name]!r}")


def _db(url: str, parts: SplitResult, options: Mapping[str, Any]) -> int:
    text = "" if parts.scheme == "unix" else parts.path.strip("/")
    if text and not (text.isascii() and text.isdigit()):
        _refuse(url, "a database number after the host, such as redis://localhost:6379/0")
    number = int(options.get("db", text or 0))
    if number < 0:
        _refuse(url, "a database number of 0 or more")
    return number


def _socket_path(url: str, parts: SplitResult) -> str:
    if parts.hostname or parts.path in ("", "/"):
        _refuse(url, "an absolute path after unix://, such as unix:///run/redis.sock?db=0")
    return unquote(parts.path)
