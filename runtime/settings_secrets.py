"""The secrets of a worker's own settings, which no log may show: the passwords in its URLs."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from messages.redaction import known_secrets

_OPTIONS: Final = ("password", "ssl_password", "sslpassword")
"""Names under which a URL's query may hold one."""


def secrets_of(urls: Iterable[str | None]) -> tuple[str, ...]:
    """Return the passwords in URLs, as `messages.redaction.redact` takes them.

    What can't be read as a URL holds none that is known; it is refused elsewhere, without being
    shown.
    """
    found: set[str] = set()
    for url in urls:
        try:
            parts = urlsplit(url or "")
            password, query = parts.password, parse_qsl(parts.query)
        except ValueError:
            continue
        for value in (password, *(value for name, value in query if name in _OPTIONS)):
            if value:
                found.update((value, unquote(value)))
    return known_secrets(found)
