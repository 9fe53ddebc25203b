"""What Ollama's settings mean: `OLLAMA_HOST` in each form that Ollama itself accepts.

| `OLLAMA_HOST` written | meant |
|---|---|
| nothing | `http://127.0.0.1:11434` |
| `host`, `host:1234`, `:1234`, `::1`, `[::1]:1234` | `http`, and port 11434 unless one is written |
| `http://host`, `https://host` | port 80, port 443 |
| `https://host/prefix` | the prefix goes before each path |
| `ollama.com` | `https://ollama.com:443` |
| `0.0.0.0`, `::` | a server listens there; a client asks 127.0.0.1, `::1` |

Spaces and quotes around it don't count.
"""

import ipaddress
import re
from typing import Final

from runtime.errors import ConfigurationError

DEFAULT_MODEL: Final = "qwen2.5:0.5b"
DEFAULT_EMBED_MODEL: Final = "nomic-embed-text"

_DEFAULT_PORT: Final = 11434
_PORTS: Final = {"http": 80, "https": 443}
_CLOUD: Final = "ollama.com"
_HIGHEST_PORT: Final = 65535
_EXPECTED: Final = "host, host:port, :port or http(s)://host:port/prefix, such as 127.0.0.1:11434"
_NAME: Final = re.compile(r"[^\s/@:?#\[\]%]+")
_PREFIX: Final = re.compile(r"[^\s?#]*")
_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- not bound
"""What a server may listen on, and where a client then finds it."""


def parse_host(text: str) -> str:
    """Return the base URL that an `OLLAMA_HOST` means, without a slash at its end.

    Raises:
        ConfigurationError: It means none. Ollama itself falls back to a default port where one
            can't be read; here it is refused, for the chats would go elsewhere than was meant.
    """
    cleaned = text.strip().strip("\"'").strip()
    scheme, separator, rest = cleaned.partition("://")
    default = _DEFAULT_PORT
    if not separator:
        scheme, rest = "http", cleaned
        if rest == _CLOUD:
            scheme, default = "https", _PORTS["https"]
    elif scheme.lower() in _PORTS:
        scheme = scheme.lower()
        default = _PORTS[scheme]
    else:
        raise _refused(cleaned)
    place, slash, prefix = rest.partition("/")
    host, port = _split(place, cleaned)
    if not _PREFIX.fullmatch(prefix):
        raise _refused(cleaned)
    where = f"{scheme}://{_host(host, cleaned)}:{_port(port, cleaned) or default}"
    return f"{where}{slash}{prefix}".rstrip("/")


def parse_model(setting: str, name: str) -> str:
    """Return the name of a model.

    Raises:
        ConfigurationError: It is none; names the setting.
    """
    if not name.strip() or not name.isprintable():
        raise ConfigurationError(setting, repr(name), "a model's name, such as qwen2.5:0.5b")
    return name.strip()


def _split(place: str, whole: str) -> tuple[str, str]:
    """Return host and port; IPv6 may stand in brackets, and must if a port follows."""
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or not (rest == "" or rest.startswith(":")) or ":" not in host:
            raise _refused(whole)
        return host, rest.removeprefix(":")
    if place.count(":") > 1:
        return place, ""
    host, _, port = place.partition(":")
    return host, port


def _host(host: str, whole: str) -> str:
    host = _ANYWHERE.get(host, host)
    if ":" not in host:
        if not _NAME.fullmatch(host):
            raise _refused(whole)
        return host
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        raise _refused(whole) from None


def _port(port: str, whole: str) -> int | None:
    if not port:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _HIGHEST_PORT):
        raise _refused(whole)
    return int(port)


def _refused(whole: str) -> ConfigurationError:
    # Before an @ there may be a password.
    came = "an address with a user in it" if "@" in whole else repr(whole)
    return ConfigurationError("OLLAMA_HOST", came, _EXPECTED)
