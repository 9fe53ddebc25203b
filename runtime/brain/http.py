"""How the handlers' HTTP clients are made, in this one place."""

from typing import Final

import httpx

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def client(url: str) -> httpx.AsyncClient:
    """Return a client for one server, not yet connected; end it with `aclose()`.

    What runs on this machine isn't asked through a proxy. Certificates are loaded only where TLS
    is spoken: that takes a tenth of a second, in which the event loop would stand still.
    """
    address = httpx.URL(url)
    return httpx.AsyncClient(trust_env=address.host not in _HERE, verify=address.scheme == "https")
