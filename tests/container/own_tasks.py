"""Handlers of one's own, mounted into the image's working directory."""

import os
import subprocess
import sys
import time
from pathlib import Path

import anyio

from actors import Handlers

handlers = Handlers(queue="brain:mission_tasks")
_VOLUME = Path(".brain")


@handlers.on("wait")
async def wait(payload: dict[str, str]) -> dict[str, int]:
    """Run until a file lies in the volume."""
    await anyio.Path(_VOLUME / "begun").touch()
    while not await anyio.Path(_VOLUME / payload["until"]).exists():  # noqa: ASYNC110 - a file's
        await anyio.sleep(0.05)
    return {"uid": os.getuid()}


@handlers.on("block")
async def block(_: dict[str, str]) -> None:
    """Hold up the event loop, as no handler should."""
    (_VOLUME / "begun").touch()
    time.sleep(600)  # noqa: ASYNC251 - the fault that the health check is about


@handlers.on("abandon", run_in="process")
def abandon(_: dict[str, str]) -> dict[str, int]:
    """Leave a child behind whose parent is gone before it ends."""
    child = "import time; time.sleep(0.2)"
    parent = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid)"
    )
    done = subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True)
    return {"pid": int(done.stdout)}
