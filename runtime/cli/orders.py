"""What an operator orders: `cancel` a task, `pause` a queue, `resume` it."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from attrs import frozen
from cyclopts import Parameter

from runtime.cli.options import DATA_DIR, DataDir, Flag, RedisUrl
from runtime.errors import ConfigurationError

_DONE: Final = 0
_NOT_DONE: Final = 1


@Parameter(name="*")
@frozen(kw_only=True)
class OrderOptions:
    """Where the order goes, and how its outcome is shown.

    Attributes:
        as_json: Print JSON.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
    """

    as_json: Annotated[bool, Flag, Parameter(name="--json")] = False
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR


_DEFAULTS: Final = OrderOptions()


def cancel(
    *ids: Annotated[str, Parameter(name="ID", negative="")], options: OrderOptions = _DEFAULTS
) -> int:
    """Cancel tasks that wait, are delayed, or run; each is answered at once as cancelled.

    The handler of one that runs is ended within a second; a `def` handler in a thread can't be
    ended, but its answer no longer counts.

    Exit codes: 0 all are cancelled, 1 some were answered before, 2 wrong use.

    Args:
        ids: Of tasks.
        options: where.
    """
    _need("cancel", "the ids of tasks", ids)

    async def order(queue: Any) -> int:
        done = {task_id: await queue.cancel(task_id) for task_id in ids}
        _tell(
            options,
            {"cancelled": done},
            [
                f"Task {task_id} is cancelled."
                if cancelled
                else f"Task {task_id} has its answer already, which stands."
                for task_id, cancelled in done.items()
            ],
        )
        return _DONE if all(done.values()) else _NOT_DONE

    return _give(options, order)


def pause(
    *queues: Annotated[str, Parameter(name="QUEUE", negative="")],
    options: OrderOptions = _DEFAULTS,
) -> int:
    """Let no worker take from a queue any more, within a second; what runs goes on.

    Producers may go on to push. `resume` lets workers take again; `status` shows the pause.

    Args:
        queues: Their names.
        options: where.
    """
    _need("pause", "the names of queues", queues)
    return _give(options, _pausing(queues, options, on=True))


def resume(
    *queues: Annotated[str, Parameter(name="QUEUE", negative="")],
    options: OrderOptions = _DEFAULTS,
) -> int:
    """Let workers take from a paused queue again, in its order.

    Args:
        queues: Their names.
        options: where.
    """
    _need("resume", "the names of queues", queues)
    return _give(options, _pausing(queues, options, on=False))


def _pausing(
    queues: tuple[str, ...], options: OrderOptions, *, on: bool
) -> Callable[[Any], Awaitable[int]]:
    async def order(queue: Any) -> int:
        change = queue.pause if on else queue.resume
        done = {name: await change(name) for name in queues}
        already, now = ("paused before", "paused") if on else ("not paused", "resumed")
        _tell(
            options,
            {now: done},
            [f"Queue {name} is {now if did else already}." for name, did in done.items()],
        )
        return _DONE

    return order


def _need(command: str, what: str, given: tuple[str, ...]) -> None:
    if not given:
        raise ConfigurationError(command, "given nothing", what)


def _tell(options: OrderOptions, body: dict[str, Any], sentences: list[str]) -> None:
    if options.as_json:
        print(json.dumps(body, ensure_ascii=False))  # noqa: T201 - it is the command line's
    else:
        sys.stdout.write("".join(f"{sentence}\n" for sentence in sentences))


def _give(options: OrderOptions, order: Callable[[Any], Awaitable[int]]) -> int:
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import place  # noqa: PLC0415

    url = place.find(options.redis_url, options.data_dir)
    return asyncio.run(_given(url, order))


async def _given(url: str, order: Callable[[Any], Awaitable[int]]) -> int:
    from runtime.task_queue import TaskQueue  # noqa: PLC0415 - as above

    async with TaskQueue(url) as queue:
        return await order(queue)
