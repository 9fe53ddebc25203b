"""Certificates of an authority of a test's own: good ones, and ones that nobody may trust."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

KINDS = ("another authority's", "expired", "another host's")
"""What can be wrong with a certificate."""

WORDS = {
    "another authority's": ("unable to get local issuer certificate", "authority's file"),
    "expired": ("certificate has expired", "renew it"),
    "another host's": ("is not valid for '127.0.0.1'", "name the host"),
}
"""What people are told of each."""


class Authority:
    """An authority, whose file a client is given."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self.file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def context(self, kind: str = "good") -> ssl.SSLContext:
        """Return what a server on 127.0.0.1 shows: a good certificate, or one of `KINDS`."""
        now = datetime.now(UTC)
        ca = trustme.CA() if kind == "another authority's" else self._ca
        host = "redis.example.org" if kind == "another host's" else "127.0.0.1"
        days = -1 if kind == "expired" else 1
        certificate = ca.issue_cert(
            host, not_before=now - timedelta(days=2), not_after=now + timedelta(days=days)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        return context
