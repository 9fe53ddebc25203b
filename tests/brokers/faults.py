"""Scripts with a fault: each of their calls of the server can be made to fail, or a line broken."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1
from typing import Final

import pytest

from runtime.redis import lease, scripts
from runtime.redis.scripts import Script

MARK: Final = "injected"
"""A key that is set when a call was made to fail."""

_PRELUDE: Final = """
local inject_count = 0
local function inject_now()
  inject_count = inject_count + 1
  if inject_count ~= {number} then return false end
  {note}
  return true
end
local function inject_call(...)
  if inject_now() then error({{err = 'ERR injected fault'}}) end
  return redis.call(...)
end
local function inject_pcall(...)
  if inject_now() then return {{err = 'ERR injected fault'}} end
  return redis.pcall(...)
end
"""

_original: Final = scripts.script


def failing(script: Script, number: int) -> Script:
    """Return a script whose call `number` of the server, from 1 on, fails and does nothing."""
    head, _, body = script.source.partition("\n")
    writes = "no-writes" not in head
    note = f"redis.call('SET', '{MARK}', '1')" if writes else ""
    body = body.replace("redis.call(", "inject_call(").replace("redis.pcall(", "inject_pcall(")
    return _made(script.name, head + _PRELUDE.format(number=number, note=note) + body)


def changed(name: str, line: str, into: str) -> Script:
    """Return a script in which one piece of text, found once, is replaced."""
    source = _original(name).source
    assert source.count(line) == 1, f"{name}.lua has {source.count(line)} times {line!r}"
    return _made(name, source.replace(line, into))


def _made(name: str, source: str) -> Script:
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


@contextmanager
def using(make: Callable[[str], Script]) -> Iterator[None]:
    """Run scripts as `make` makes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "script", make)
        patch.setattr(lease, "script", make)
        yield


@contextmanager
def injecting(number: int) -> Iterator[None]:
    """Let call `number` of each script fail."""
    # One that a test has broken stays broken.
    current = scripts.script
    with using(lambda name: failing(current(name), number)):
        yield


@contextmanager
def breaking(script: Script) -> Iterator[None]:
    """Run this script in the place of the one of its name."""
    with using(lambda name: script if name == script.name else _original(name)):
        yield
