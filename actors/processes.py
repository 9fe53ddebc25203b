"""The processes in which a worker runs its `run_in="process"` handlers.

A process is started when a handler needs one and none is idle, and is used again afterwards. It
imports the handler's module itself and builds the payload itself; what crosses the line is JSON
(`process_wire`).

| if | then |
|---|---|
| the handler returns or raises | the process is idle, and warm for the next call |
| the call is cancelled (time-out, cancel, drain) | it ends when the process is killed and reaped |
| the process dies | the call fails; the next one starts a fresh process |
| the worker dies, even by SIGKILL | the process ends at once (`process_child`) |
"""

import sys
from collections.abc import Mapping
from types import ModuleType, TracebackType
from typing import Final, Self, assert_never

import anyio
from attrs import frozen
from msgspec import Raw

from actors.broker import BrokerError
from actors.context import Context
from actors.control import Reject, Retry
from actors.handler import Handler
from actors.notes import Notes, TaskLostError
from actors.process_logs import write_line
from actors.process_wire import (
    Call,
    End,
    LogLine,
    Place,
    Progressed,
    Raised,
    Rejecting,
    Retrying,
    Returned,
    SaveEnded,
    Saving,
)
from actors.warm_process import GarbledLineError, ProcessEndedError, WarmProcess

DIED: Final = "ProcessDied"
"""The error's type when the process ended under its handler."""


@frozen(slots=False, eq=False)
class HandlerProcessError(Exception):
    """A handler in a process failed.

    Attributes:
        error: the text of what it raised, or how its process died.
        error_type: the class's name; `ProcessDied` where the process died, `ProcessNotStarted`
            where there was none.
        traceback: where in the handler it was raised, shortened; empty if nothing was raised.
    """

    error: str
    error_type: str
    traceback: str = ""

    def __str__(self) -> str:
        return self.error


class Processes:
    """Handler processes of one worker, at most one per slot.

    Args:
        slots: how many there can be.
        max_result_bytes: of what a handler returns; more is its failure.
    """

    def __init__(self, slots: int, *, max_result_bytes: int) -> None:
        self._places = anyio.Semaphore(slots)
        self._most = max_result_bytes
        self._all: set[WarmProcess] = set()
        self._idle: list[WarmProcess] = []

    def __repr__(self) -> str:
        return f"Processes({len(self._all)} running, {len(self._idle)} idle)"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def call(
        self, handler: Handler, payload: bytes, context: Context, trace: Mapping[str, str] = {}
    ) -> bytes:
        """Run a handler in a process.

        A cancellation ends the process, and what the handler has started in its group; the call
        returns when it has ended.

        Args:
            handler: what to run.
            payload: the task's, undecoded.
            context: the handler's.
            trace: what lines of the log say of the run's trace.

        Returns:
            The result's JSON, as `encode_value` writes it.

        Raises:
            Reject: the handler raised it.
            Retry: the handler raised it.
            HandlerProcessError: whatever else went wrong.
        """
        place = _place(handler)
        async with self._places:
            process = await self._take(handler)
            whole = False
            try:
                end = await self._exchange(process, place, payload, context, trace)
                whole = True
            except ProcessEndedError:
                how = await process.end(kill=False)
                raise HandlerProcessError(f"the process of the handler {how}", DIED) from None
            except GarbledLineError as error:
                raise HandlerProcessError(
                    f"the process of the handler sent what can't be read, and was ended: {error}",
                    DIED,
                ) from None
            finally:
                if whole:
                    self._idle.append(process)
                else:
                    await process.end()
                    self._all.discard(process)
        return _verdict(end)

    async def aclose(self) -> None:
        """End all processes. A call that is under way fails."""
        self._idle.clear()
        async with anyio.create_task_group() as group:
            for process in self._all:
                group.start_soon(process.end)
        self._all.clear()

    async def _take(self, handler: Handler) -> WarmProcess:
        """Return a process that is idle, else a fresh one."""
        while self._idle:
            # The latest first: those that the load doesn't need can be paged out.
            process = self._idle.pop()
            if process.alive:
                return process
            self._all.discard(process)
            await process.end()
        try:
            process = await WarmProcess.start()
        except OSError as error:
            raise HandlerProcessError(
                f"no process could be started for handler {handler.name}: {error}",
                "ProcessNotStarted",
            ) from None
        self._all.add(process)
        return process

    async def _exchange(
        self,
        process: WarmProcess,
        place: Place,
        payload: bytes,
        context: Context,
        trace: Mapping[str, str],
    ) -> End:
        """Ask a process, and serve it until the handler has ended."""
        process.calls += 1
        number = process.calls
        await process.tell(
            Call(
                number=number,
                place=place,
                payload=Raw(payload),
                most=self._most,
                task_id=context.task_id,
                task_type=context.task_type,
                queue=context.queue,
                worker_id=context.worker_id,
                attempt=context.attempt,
                deadline=context.deadline,
                saved=Raw(context.notes.state or b"null"),
                trace=dict(trace),
            )
        )
        while True:
            message = await process.hear()
            if isinstance(message, LogLine):
                write_line(message)
            elif message.number != number:
                continue
            elif isinstance(message, Progressed):
                total = message.total
                context.notes.progress = (
                    _whole(message.done),
                    None if total is None else _whole(total),
                )
            elif isinstance(message, Saving):
                await process.tell(await _save(context.notes, message))
            else:
                return message


def _whole(number: float) -> float:
    """Return a whole number as the handler has said it: the wire makes no difference."""
    return int(number) if number.is_integer() else number


async def _save(notes: Notes, message: Saving) -> SaveEnded:
    """Save a state for a handler, and say what became of it."""
    try:
        await notes.save(bytes(message.state))
    except TaskLostError:
        return SaveEnded(message.number, lost=True)
    except BrokerError as error:
        return SaveEnded(message.number, refused=str(error))
    return SaveEnded(message.number)


def _verdict(end: End) -> bytes:
    """Return the result, or raise what the handler raised."""
    match end:
        case Returned():
            return bytes(end.result)
        case Rejecting():
            raise Reject(end.why)
        case Retrying():
            raise Retry(end.why, after=end.after)
        case Raised():
            raise HandlerProcessError(end.error, end.error_type, end.traceback)
        case _:
            assert_never(end)


def _place(handler: Handler) -> Place:
    """Say where a process finds a handler, if it finds the same function there."""
    function = handler.function
    module = sys.modules.get(function.__module__)
    if getattr(module, function.__qualname__, None) is not function or module is None:
        raise HandlerProcessError(
            f"handler {handler.name} can't be found by its name, so no process can run it; "
            "let `on` be the first of its decorators, and give its name to nothing else",
            "HandlerError",
        )
    name, path = _importable(module)
    return Place(name, path, function.__qualname__)


def _importable(module: ModuleType) -> tuple[str, str | None]:
    """Return a module's name, and its file if it can't be imported by name.

    The module that the worker was started as is called `__main__`, which is another one elsewhere:
    it goes by the name that `python -m` was given, or by its file.
    """
    if module.__name__ != "__main__":
        return module.__name__, None
    spec = module.__spec__
    if spec is not None and spec.name != "__main__":  # a directory or an archive that was run
        return spec.name, None
    return module.__name__, module.__file__
