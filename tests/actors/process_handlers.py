"""Handlers for processes, found there by their names as a user's own are."""

import ctypes
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextvars import Context as Variables
from pathlib import Path
from typing import Any

from attrs import frozen
from loguru import logger

from actors import Backoff, Context, Handlers, Reject, Retry

handlers = Handlers(queue="brain:test_tasks")


@frozen
class Sum:
    """A payload that is built in the process."""

    numbers: list[int]


@handlers.on("sum", run_in="process")
def add(payload: Sum) -> dict[str, Any]:
    return {"sum": sum(payload.numbers), "pid": os.getpid()}


@handlers.on("echo", run_in="process")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handlers.on("returns", run_in="process")
def returns(payload: dict[str, Any]) -> object:
    """Return what a name stands for."""
    return {
        "none": None,
        "nan": {"x": math.nan},
        "set": {1, 2},
        "number": 7,
        "half": {"x": "\ud800"},
        "deep": _deep(),
        "large": "x" * 2_000,
    }[payload["what"]]


def _deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"x": value}
    return value


class OddError(Exception):
    """An exception of a user's."""


@handlers.on("raises", run_in="process")
def raises(payload: dict[str, Any]) -> None:
    """Raise what a name stands for."""
    raise {
        "odd": OddError("an odd one: ü \ud800"),
        "empty": OddError(),
        "reject": Reject("never"),
        "retry": Retry("later", after=2.5),
        "retry by itself": Retry(),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
    }[payload["what"]]


@handlers.on("dies", run_in="process")
def dies(payload: dict[str, Any]) -> None:
    """End the process in a way that a name stands for."""
    match payload["how"]:
        case "exit":
            os._exit(payload["code"])
        case "segv":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            ctypes.string_at(0)
        case "garbage":
            for number in range(3, 20):
                try:
                    os.write(number, b"\x00\x00\x00\x02{}")
                except OSError:
                    continue
            time.sleep(600)


@handlers.on("whoami", run_in="process")
def whoami(payload: dict[str, Any], context: Context) -> dict[str, Any]:
    """Tell of the context."""
    del payload
    return {
        "id": context.task_id,
        "type": context.task_type,
        "queue": context.queue,
        "worker": context.worker_id,
        "attempt": context.attempt,
        "deadline": context.deadline.isoformat(),
        "pid": os.getpid(),
        "main": threading.current_thread() is threading.main_thread(),
    }


@handlers.on("stuck", run_in="process")
def stuck(payload: dict[str, Any]) -> None:
    """Run for longer than any test, in the way that is asked for; say who runs."""
    pids = [os.getpid()]
    if payload.get("helper"):
        pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    file = Path(payload["file"])
    file.with_suffix(".new").write_text(json.dumps(pids))
    file.with_suffix(".new").rename(file)
    if payload.get("how") == "busy":
        while True:
            pass
    if payload.get("how") == "in C":
        # `PyDLL` keeps the interpreter's lock: no other thread of this process turns.
        ctypes.PyDLL(None).sleep(600)
    time.sleep(600)


@handlers.on("prints", run_in="process")
def prints(payload: dict[str, Any]) -> dict[str, Any]:
    """Write to the standard output by all ways."""
    print("printed", flush=True)  # noqa: T201 - the case
    os.write(1, b"written\n")
    subprocess.run([sys.executable, "-c", "print('echoed')"], check=True)
    return payload


@handlers.on("logs", run_in="process")
def logs(payload: dict[str, Any], context: Context) -> None:
    """Log in several ways."""
    context.logger.bind(odd={1}, large=10**30).info("one {}", payload["text"] + "\ud800")
    context.logger.debug("two {braces}")
    context.logger.level("ODD", no=33)
    context.logger.log("ODD", "three")
    try:
        raise OddError("raised")  # noqa: TRY301 - to have something to log
    except OddError:
        context.logger.exception("four")
    logging.getLogger("a.library").warning("five %s", "%s")
    warnings.warn("six", UserWarning, stacklevel=1)


@handlers.on("logs.about_none", run_in="process")
def logs_about_none(payload: dict[str, Any]) -> None:  # noqa: ARG001 - a handler has one
    """Log with the task's context, then without, as what outlives its call does."""
    logger.info("within")
    thread = threading.Thread(target=Variables().run, args=(logger.info, "without"))
    thread.start()
    thread.join()


@handlers.on("steps", run_in="process", retry=Backoff(attempts=2, base=0.001))
def steps(payload: dict[str, Any], context: Context) -> dict[str, Any]:
    """Save, fail once, and go on from there."""
    found = context.saved
    for step in range((found or {"step": 0})["step"], payload["steps"]):
        context.progress(step + 1, payload["steps"])
        context.save({"step": step + 1, "large": 2**70})
        if step + 1 == payload["fails_after"] and context.attempt == 1:
            raise Retry(after=0)
    return {"found": found, "attempt": context.attempt}


@handlers.on("saves", run_in="process")
def saves(payload: dict[str, Any], context: Context) -> dict[str, Any]:
    """Save what is no state, or what is refused, or where another thread does."""
    if payload.get("thread"):
        threads = [threading.Thread(target=context.save, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {}
    try:
        context.save(
            {"large": "x" * 2**17, "set": {1}}[payload["what"]] if "what" in payload else 1
        )
    except Exception as error:  # noqa: BLE001 - the case
        return {"error": str(error), "error_type": type(error).__name__}
    return {}


@handlers.on("counts", run_in="process")
def counts(payload: dict[str, Any], context: Context) -> None:
    """Say how far it is in a tight loop, and then nothing till a file is there."""
    for number in range(payload["to"]):
        context.progress(number + 1, payload["to"])
    while not Path(payload["file"]).exists():
        time.sleep(0.01)


@handlers.on("forks", run_in="process")
def forks(payload: dict[str, Any], context: Context) -> dict[str, Any]:
    """Fork a process that logs and reports, and is still there when the handler returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        context.logger.info("from the fork")
        os.write(writing, b"forked")
        time.sleep(payload["seconds"])
        os._exit(0)
    if "file" in payload:
        Path(payload["file"]).write_text(f"[{child}]")
    os.close(writing)
    said = os.read(reading, 1_000).decode()
    if payload["dies"]:
        os._exit(5)
    return {"said": said, "child": child}
