"""Measures a worker's way to Redis: how long calls take, and what fails on the wire."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from runtime.loop_watch import LoopWatch
from runtime.metrics.tallies import LATENCIES, Histogram
from runtime.redis.lease import Lease
from runtime.redis.scripts import script

_BLOCKING = "BLMOVE"
"""A wait of up to 2 s that says nothing of the server."""

_RUNS_SCRIPT = frozenset({"EVALSHA", "EVAL"})


class RedisCalls:
    """See `runtime.redis.meter.Meter`."""

    def __init__(self) -> None:
        self.calls: dict[str, Histogram] = {}
        self.errors = 0
        self.lease: Lease | None = None
        self.loop: LoopWatch | None = None

    def __repr__(self) -> str:
        return f"RedisCalls({', '.join(self.calls)}; {self.errors} errors)"

    def answered(self, words: tuple[str | bytes | int, ...], seconds: float) -> None:
        """Note how long a call took, under its script's or its command's name."""
        command = str(words[0])
        if command == _BLOCKING:
            return
        named = _scripts().get(str(words[1])) if command in _RUNS_SCRIPT else None
        name = named or command.lower()
        calls = self.calls.get(name)
        if calls is None:
            calls = self.calls[name] = Histogram(LATENCIES)
        calls.note(seconds)

    def lost(self) -> None:
        """Count a call that failed on its connection."""
        self.errors += 1

    def joined(self, lease: Lease, loop: LoopWatch) -> None:
        """Keep what to read at a scrape."""
        self.lease, self.loop = lease, loop


@cache
def _scripts() -> Mapping[str, str]:
    """Return the scripts' names by their digests and by their texts, which are sent at first."""
    found = (files("runtime.redis") / "lua").iterdir()
    names = [file.name.removesuffix(".lua") for file in found if file.name.endswith(".lua")]
    return {key: name for name in names for key in (script(name).digest, script(name).source)}
