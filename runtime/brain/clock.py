"""Time as BRAiN's tables hold it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time by the system's clock, aware, in UTC."""
    return datetime.now(UTC)


def stored(moment: datetime) -> datetime:
    """Return an aware time as the tables hold it: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)
