"""Whether traces are wanted, and where they go; looked at without loading OpenTelemetry."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from runtime.errors import ConfigurationError

SETTING: Final = "--traces"
BASE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Where all signals go; the path of traces is appended. The option's environment variable."""

EXACT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
"""Where traces go, to the letter; goes before the one above."""

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


def endpoint(chosen: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the URL that spans are sent to, or None if nothing is to be traced.

    Args:
        chosen: what the option says, or the environment where there is no option.
        environment: the process's, for what OpenTelemetry reads there besides.

    Raises:
        ConfigurationError: no span can be sent there.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exact = environment.get(EXACT)
    if exact and (not chosen or chosen == environment.get(BASE)):
        url, setting = exact, EXACT
    elif chosen:
        url, setting = f"{chosen.rstrip('/')}/v1/traces", SETTING
    else:
        return None
    _check(url, setting)
    _check_protocol(environment)
    _check_package(setting)
    return url


def _check(url: str, setting: str) -> None:
    expected = "the URL of an OTLP/HTTP receiver, such as http://localhost:4318"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        # It isn't shown: what can't be read may hold a password.
        raise ConfigurationError(setting, "no URL with http:// or https:// and a host", expected)


def _check_protocol(environment: Mapping[str, str]) -> None:
    found = ((name, environment[name]) for name in _PROTOCOLS if environment.get(name))
    name, protocol = next(found, ("", _PROTOCOL))
    if protocol != _PROTOCOL:
        expected = f"{_PROTOCOL}, or none; a collector's port for it is usually 4318"
        raise ConfigurationError(name, repr(protocol), expected)


def _check_package(setting: str) -> None:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError(
            setting,
            "in use, but the package opentelemetry-sdk isn't installed",
            'it to be (pip install "brain-worker-pool[traces]")',
        )
