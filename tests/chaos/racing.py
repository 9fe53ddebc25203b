"""The same task each second for workers of which none lets another go first: all fire at once."""

from actors import scheduler
from tests.chaos.recurring import handlers

scheduler._LATER = scheduler._SPREAD = 0  # type: ignore[misc]

__all__ = ["handlers"]
