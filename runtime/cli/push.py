"""Pushes a task, and awaits its result if it is asked to."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from attrs import frozen
from cyclopts import Parameter

from runtime.cli.options import DATA_DIR, DataDir, Flag, RedisUrl, TracesOption
from runtime.cli.values import Count, Duration, DurationOrZero, Moment
from runtime.settings_secrets import secrets_of
from runtime.traces.settings import endpoint

if TYPE_CHECKING:
    from runtime.task_queue import TaskQueue

_SUCCESS: Final = 0
_FAILURE: Final = 1
_NO_RESULT: Final = 3


@Parameter(name="*")
@frozen(kw_only=True)
class PushOptions:
    """How a task is pushed.

    Attributes:
        file: A file with the payload.
        queue: The queue that it is pushed to.
        task_id: The task's id; a random one if not given. A push that is repeated with the same id
            is run again, and answered under that id.
        delay: Start it so many seconds from now at the earliest.
        at: Start it at this time at the earliest, such as 2026-02-17T10:30:00Z.
        expires_in: Don't start it any more after so many seconds.
        max_attempts: How often it may be run. [default: the handler's]
        timeout: How long a run may take. [default: the handler's]
        unique_for: For so many seconds another push of the same --task-id is none.
        wait: Wait for the result and show it; on a terminal, a bar shows how far the task is.
        wait_timeout: How long to wait at most. [default: for ever]
        as_json: Print JSON: the result with --wait, else the task's id.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
        traces: Begin the task's trace with this push, and send that there: an OpenTelemetry
            collector's address for OTLP over HTTP.
    """

    file: Path | None = None
    queue: Annotated[str, Parameter(metavar="NAME")] = "brain:cluster_tasks"
    task_id: Annotated[str | None, Parameter(metavar="ID")] = None
    delay: Annotated[DurationOrZero | None, Parameter(show_default=False)] = None
    at: Annotated[Moment | None, Parameter(show_default=False)] = None
    expires_in: Annotated[Duration | None, Parameter(show_default=False)] = None
    max_attempts: Annotated[Count | None, Parameter(show_default=False)] = None
    timeout: Annotated[Duration | None, Parameter(show_default=False)] = None
    unique_for: Annotated[Duration | None, Parameter(show_default=False)] = None
    wait: Annotated[bool, Flag] = False
    wait_timeout: Annotated[Duration | None, Parameter(show_default=False)] = None
    as_json: Annotated[bool, Flag, Parameter(name="--json")] = False
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR
    traces: TracesOption = None


_DEFAULTS: Final = PushOptions()


def push(
    type_: Annotated[str, Parameter(name="TYPE")],
    payload: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    options: PushOptions = _DEFAULTS,
) -> int:
    """Push a task, and await its result with --wait.

    Exit codes: 0 pushed, or succeeded; 1 the task failed; 2 it could not be pushed; 3 there was no
    result in time, and the task may still run.

    Args:
        type_: The task's type, such as spawn_agent.
        payload: A JSON object, @file, or - for standard input, which is also read when there is no
            payload and it isn't a terminal.
        options: how it is pushed.
    """
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import payload as payloads  # noqa: PLC0415
    from runtime.cli import place  # noqa: PLC0415
    from runtime.errors import ResultTimeoutError  # noqa: PLC0415

    body = payloads.read(payload, options.file)
    url = place.find(options.redis_url, options.data_dir)
    try:
        with _traced(options):
            return asyncio.run(_push(type_, body, url, options))
    except ResultTimeoutError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is the command line's
        return _NO_RESULT


@contextmanager
def _traced(options: PushOptions) -> Iterator[None]:
    """Trace what is done within, if somebody collects that."""
    url = endpoint(options.traces, os.environ)
    if url is None:
        yield
        return
    from runtime.traces.export import Traces  # noqa: PLC0415 - off costs nothing

    traces = Traces(url, service="brain-producer", secrets=secrets_of((options.redis_url,)))
    try:
        yield
    finally:
        traces.close()


async def _push(task_type: str, payload: dict[str, Any], url: str, options: PushOptions) -> int:
    from runtime.task_queue import TaskQueue  # noqa: PLC0415 - as above

    async with TaskQueue(url, queue=options.queue) as queue:
        task_id = await queue.push_task(
            task_type,
            payload,
            task_id=options.task_id,
            delay=options.delay,
            at=options.at,
            expires_in=options.expires_in,
            max_attempts=options.max_attempts,
            timeout=options.timeout,
            unique_for=options.unique_for,
        )
        if task_id.duplicate:
            # On standard error: what is printed is the id, as ever.
            print("It was pushed before; nothing was queued.", file=sys.stderr)  # noqa: T201
        if not options.wait:
            _print(json.dumps({"task_id": task_id}) if options.as_json else task_id)
            return _SUCCESS
        if not options.as_json:
            _print(task_id)
        result = await _result(queue, task_id, url, options)
    if options.as_json:
        _print(json.dumps(result, ensure_ascii=False))
    else:
        _show(result)
    return _SUCCESS if result.get("success") is True else _FAILURE


async def _result(
    queue: "TaskQueue", task_id: str, url: str, options: PushOptions
) -> dict[str, Any]:
    """Wait for a result, with a bar for people."""
    if options.as_json:
        return await queue.get_task_result(task_id, options.wait_timeout)
    from runtime.cli.progress_bar import shown  # noqa: PLC0415 - who doesn't wait needs no bar

    async with shown(url, task_id):
        return await queue.get_task_result(task_id, options.wait_timeout)


def _print(text: str) -> None:
    # At once: whoever reads us through a pipe waits for the id, not for the result.
    print(text, flush=True)  # noqa: T201 - it is the command line's


def _show(result: dict[str, Any]) -> None:
    """Print a result for people, in colour on a terminal."""
    from rich.console import Console  # noqa: PLC0415 - JSON needs none

    console = Console(highlight=False, markup=False, soft_wrap=True)
    succeeded = result.get("success") is True
    duration = result.get("duration_ms")
    took = f" in {duration:.1f} ms" if isinstance(duration, int | float) else ""
    verdict = f"succeeded{took}" if succeeded else f"failed{took}"
    console.print(
        f"Task {verdict} on worker {result.get('worker_id', '?')}",
        style="green" if succeeded else "red",
    )
    console.print_json(json.dumps(result.get("result"), ensure_ascii=False), indent=2)
