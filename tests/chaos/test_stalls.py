"""Workers that stand still: a handler that blocks the event loop, a suspended process (I2, I5)."""

import re
import signal
import time
from pathlib import Path

import pytest
import redis

from runtime.redis import keys
from tests.chaos import handlers as handlers_module
from tests.chaos.evidence import (
    Answers,
    Journal,
    assert_answered_once,
    inflight_keys,
    result_of,
)
from tests.chaos.fleet import Fleet
from tests.chaos.producers import push
from tests.servers import eventually


def _pass(seconds: float) -> None:
    """Let time pass that is part of the fault itself."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, seconds + 60)
