"""Serves a registry at `/metrics`, on a thread of its own."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from runtime.errors import ConfigurationError


@contextmanager
def endpoint(
    registry: CollectorRegistry, host: str, port: int, *, settings: tuple[str, str]
) -> Iterator[str]:
    """Serve for as long as the block; gives the URL.

    Args:
        registry: what is shown.
        host: where to listen.
        port: likewise; 0 for any that is free.
        settings: the names of the settings that say host and port, for errors.

    Raises:
        ConfigurationError: nothing can listen there.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except PermissionError:
        came = f"{port}, which this user may not open"
        raise ConfigurationError(settings[1], came, "a port from 1024 on") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            came = f"{port}, on which another process listens"
            raise ConfigurationError(settings[1], came, "a free port, or 0 for any") from None
        expected = "an address of this machine, such as 127.0.0.1 or 0.0.0.0"
        raise ConfigurationError(settings[0], repr(host), expected) from None
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
