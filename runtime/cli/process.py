"""The life of a worker's process: logs, signals, signs of life, exit codes.

| what happens | exit code |
|---|---|
| a signal before it takes tasks | 0 |
| a drain, or the end of `--burst`, with all answers settled | 0 |
| answers that could not be settled; an actor that crashed | 1 |
| an option, a handler module or a server that can't be used | 2 |
"""

import asyncio
import gc
import os
import sys
from typing import Final, Protocol

import anyio
from anyio.abc import TaskStatus
from loguru import logger

from actors import HandlerError, Statistics, Worker, WorkerError
from messages.redaction import redact
from runtime import logs, state_file
from runtime.brain.errors import BrainError
from runtime.cli import screen
from runtime.cli.options import WorkerOptions
from runtime.cli.signals import Deadline, StoppedEarlyError, StopSignals, leave_now
from runtime.composition import Composed, Plan, compose, prepare, secrets
from runtime.embedded.errors import EmbeddedError
from runtime.errors import ConfigurationError, PoolError
from runtime.state_file import StateFile

CLEAN: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

_FOR_PEOPLE: Final = (PoolError, EmbeddedError, BrainError, HandlerError, WorkerError)
_SIGN_OF_LIFE: Final = 1.0
_SLACK: Final = 10.0
"""Seconds after the grace within which a worker has settled, left, and ended."""

_SHORT_GRACE: Final = 5.0
_LAST_STEPS: Final = 2.0
"""Seconds for the event loop to close and for threads that handlers have left to end."""


class Front(Protocol):
    """Who is told how a worker's process gets on: people, or the supervisor of a pool."""

    def ready(self, composed: Composed) -> None:
        """The worker takes tasks; called on its event loop."""

    def refused(self, sentence: str) -> None:
        """Nothing runs, for the reason given."""


def run_worker(options: WorkerOptions, front: Front | None = None) -> int:
    """Be a worker's process, which ends soon after this returns, and return its exit code.

    Args:
        options: how it runs.
        front: who is told; people, on the terminal or in the log, unless somebody else is named.
    """
    logs.configure(options.log_level, options.log_format, secrets=secrets(options))
    front = front or People(options)
    with StopSignals() as signals:
        try:
            process = Process(options, prepare(options), signals, front)
            return anyio.run(process.run)
        except StoppedEarlyError:
            return CLEAN
        except _FOR_PEOPLE as error:
            front.refused(str(error))
            return WRONG_USE
        except Exception as error:  # noqa: BLE001 - the last to hear of it
            logger.opt(exception=error).critical("The worker crashed, which is a bug")
            return FAILED


class Process:
    """One worker as a process.

    Args:
        options: the user's.
        plan: what is to run.
        signals: what asks for the end.
        front: who is told when it takes tasks.
    """

    def __init__(
        self, options: WorkerOptions, plan: Plan, signals: StopSignals, front: Front
    ) -> None:
        self._options = options
        self._front = front
        self._plan = plan
        self._signals = signals
        self._state = self._open_state_file()
        self._deadline = Deadline(self._forget)
        self._life: asyncio.Task[int] | None = None
        self._running: Worker | None = None
        self._stuck = asyncio.Event()
        self._ending = False

    async def run(self) -> int:
        """Start, serve and drain; return the exit code.

        Raises:
            Exception: what keeps it from starting, or a crash.
        """
        loop = asyncio.get_running_loop()
        self._life = asyncio.create_task(self._live())
        counts: asyncio.Queue[int] = asyncio.Queue()

        def hear(count: int) -> None:
            # Here, not on the loop, which may be blocked by a handler.
            if not self._ending:
                grace = self._options.grace if count == 1 else _SHORT_GRACE
                self._deadline.arm(grace + _SLACK, FAILED, _OVERDUE)
            loop.call_soon_threadsafe(counts.put_nowait, count)

        self._signals.react(hear)
        helpers = (
            asyncio.create_task(self._breathe()),
            asyncio.create_task(self._heed(counts)),
        )
        try:
            code = await self._life
        except asyncio.CancelledError:
            code = CLEAN
        finally:
            for helper in helpers:
                helper.cancel()
            self._forget()
        why = "A thread or a handler doesn't end, so the process ends without it"
        self._deadline.arm(_LAST_STEPS, code, why)
        return code

    async def _live(self) -> int:
        async with compose(self._plan, lambda _: self._stuck.set()) as composed:
            worker = composed.worker
            serving = asyncio.create_task(self._serve(composed))
            stuck = asyncio.create_task(self._stuck.wait())
            await asyncio.wait({serving, stuck}, return_when=asyncio.FIRST_COMPLETED)
            stuck.cancel()
            self._ending = True
            self._deadline.disarm()
            if serving.done():
                serving.result()
        found = worker.statistics()
        code = _report(found)
        if self._stuck.is_set() or found.left_behind:
            self._forget()
            leave_now(code)
        return code

    async def _serve(self, composed: Composed) -> None:
        # What was loaded until now stays: the collector needn't look through it again and again.
        gc.collect()
        gc.freeze()
        # Nothing is awaited between these two: a signal either cancels the start or stops the run.
        self._running = composed.worker
        await composed.worker.run(task_status=_Started(self._front, composed))

    async def _heed(self, counts: asyncio.Queue[int]) -> None:
        """Do what signals ask for; in a task, for the worker asks for the time in one."""
        while True:
            self._obey(await counts.get())

    def _obey(self, count: int) -> None:
        if self._ending or self._life is None:
            return
        worker = self._running
        if worker is None:
            logger.info("Stopping before the worker has taken a task")
            self._ending = True
            self._deadline.disarm()
            self._life.cancel()
        elif count == 1:
            self._drain(worker)
        else:
            logger.info("Stopping within {:g} s", _SHORT_GRACE)
            worker.hurry()

    def _drain(self, worker: Worker) -> None:
        grace = self._options.grace
        count = len(worker.statistics().running)
        if count:
            logger.info(
                "Stopping: {} running {} up to {:g} s to end; a second signal hurries",
                f"{count} tasks" if count > 1 else "the task",
                "have" if count > 1 else "has",
                grace,
            )
        else:
            logger.info("Stopping: no task runs")
        worker.request_stop(grace)

    async def _breathe(self) -> None:
        """Note that the event loop turns, every second."""
        said = False
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE)
            try:
                if self._state is not None:
                    self._state.write()
            except OSError as error:
                if not said:
                    logger.warning("The sign of life can't be written, health misses it: {}", error)
                said = True

    def _open_state_file(self) -> StateFile | None:
        """Open the state file; one that nobody asked for may fail, and then only health suffers.

        Raises:
            ConfigurationError: the directory that the user chose can't be used.
        """
        options = self._options
        directory = state_file.place(options.state_dir, os.environ)
        try:
            return StateFile(directory, self._plan.worker_id, options.stall_limit)
        except ConfigurationError as error:
            if options.state_dir is not None:
                raise
            logger.warning("The command health won't find this worker: {}", error)
            return None

    def _forget(self) -> None:
        if self._state is not None:
            self._state.remove()


_OVERDUE: Final = (
    "The worker hasn't ended in time, so the process ends without it; its tasks run elsewhere when "
    "its lease has lapsed"
)


class _Started(TaskStatus[None]):
    """Tells who is in front of the process when the worker takes tasks."""

    def __init__(self, front: Front, composed: Composed) -> None:
        self._front = front
        self._composed = composed

    def started(self, value: None = None) -> None:  # noqa: ARG002 - anyio's
        self._front.ready(self._composed)


class People:
    """Tells people, in the form that they have chosen.

    Args:
        options: theirs.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options

    def ready(self, composed: Composed) -> None:
        """Show where they are."""
        facts = composed.facts
        if self._options.log_format == "json":
            logger.bind(
                worker_id=facts.worker_id,
                queues=facts.queues,
                types=facts.types,
                slots=facts.slots,
                redis=facts.redis,
                database=facts.database,
            ).info("Worker {} takes tasks", facts.worker_id)
        elif logs.shows_tasks(self._options.log_level):
            screen.show(facts)

    def refused(self, sentence: str) -> None:
        """Say why nothing runs."""
        if self._options.log_format == "json":
            logger.critical("{}", sentence)
        else:
            print(redact(sentence), file=sys.stderr)  # noqa: T201 - it is the command line's


def _report(found: Statistics) -> int:
    logger.info(
        "Worker {} ended: {} tasks answered, {} of them with a failure, {} given back",
        found.worker_id,
        found.processed,
        found.failed,
        found.released,
    )
    return FAILED if found.unsettled > 0 else CLEAN
