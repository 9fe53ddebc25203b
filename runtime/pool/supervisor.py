"""The supervisor: looks at the load, decides, and starts, retires and replaces workers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import evolve
from loguru import logger

from runtime.cli.options import WorkerOptions
from runtime.errors import PoolError
from runtime.pool.decision import Calm, Decision, Goal, Load, decide
from runtime.pool.figures import Look
from runtime.pool.process import WorkerProcess, how_it_ended
from runtime.pool.restarts import Restarts
from runtime.pool.window import ServiceTime, Window

CLEAN: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

_TICK: Final = 0.1
"""Seconds between looks at the workers' processes."""

_LOOK: Final = 0.5
"""Seconds between looks at the queues."""

_SLACK: Final = 15.0
"""Seconds after the grace by which a worker has ended itself, even one that is stuck."""


class Supervisor:
    """Keeps as many workers as the load needs, until it is asked to end.

    Args:
        options: the workers'.
        goal: how many there may be, and what they are to keep.
        name: what the workers' names begin with.
        look: looks at queues.
    """

    def __init__(
        self,
        options: WorkerOptions,
        goal: Goal,
        name: str,
        look: Callable[[Sequence[str]], Awaitable[Look]],
    ) -> None:
        self._options = options
        self._goal = goal
        self._name = name
        self._look = look
        self._team: list[WorkerProcess] = []
        self._queues: tuple[str, ...] = ()
        self._wanted = 1
        self._restarts = Restarts()
        self._window, self._service_time, self._calm = Window(), ServiceTime(), Calm()
        self._stops = 0
        self._kill_at = float("inf")
        self._burst_over = False
        self._code = CLEAN
        self._refusal: str | None = None
        self._trouble: str | None = None

    def __repr__(self) -> str:
        return f"Supervisor({self._name!r}, wanted={self._wanted}, {self._team})"

    @property
    def refusal(self) -> str | None:
        """Why no worker could start, if that is why the pool has ended."""
        return self._refusal if self._code == WRONG_USE else None

    async def run(self) -> int:
        """Run until the end, and return the exit code; cancelled, it leaves no worker behind.

        Must run in the process's main thread: the workers end with the thread that starts them.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                looking = tasks.create_task(self._look_around())
                while self._code != WRONG_USE and (self._team or not self._ending):
                    self._tend(_now())
                    await asyncio.sleep(_TICK)
                looking.cancel()
        finally:
            for worker in self._team:
                worker.close()
        return self._code

    def stop(self) -> None:
        """Let all workers drain; a second time hurries them."""
        self._stops += 1
        count = len(self._team)
        if self._stops == 1:
            grace = self._options.grace
            self._kill_at = _now() + grace + _SLACK
            logger.info(
                "Stopping {} {}, within {:g} s; a second signal hurries",
                count,
                "worker" if count == 1 else "workers",
                grace,
            )
        else:
            logger.info("Hurrying the workers that still run")
        # To one that drains already, another signal would mean to hurry.
        for worker in self._active if self._stops == 1 else self._team:
            worker.ask_to_end()

    @property
    def _ending(self) -> bool:
        return self._stops > 0 or self._burst_over

    @property
    def _active(self) -> list[WorkerProcess]:
        """The workers that aren't to end, the oldest first."""
        return [worker for worker in self._team if not worker.retired]

    def _tend(self, now: float) -> None:
        """Look after the workers' processes."""
        for worker in list(self._team):
            code = worker.poll(now)
            if not self._queues and not self._ending and worker.ready:
                self._serve(worker.ready.queues)
            if code is not None:
                self._team.remove(worker)
                self._note_end(worker, code, now)
            elif now >= self._kill_at:
                logger.error("Worker {} doesn't end, so it is killed", worker.worker_id)
                worker.kill()
        if not self._ending and self._code != WRONG_USE:
            self._resize(now)

    def _serve(self, queues: tuple[str, ...]) -> None:
        """Go on from the first worker that takes tasks: it tells what is served."""
        self._queues = queues
        self._wanted = self._goal.least
        logger.info(
            "The pool serves {} with {} to {} workers",
            ", ".join(queues),
            self._goal.least,
            self._goal.most,
        )

    def _resize(self, now: float) -> None:
        active = self._active
        for worker in reversed(active[self._wanted :]):
            logger.info("Worker {} is one too many and drains", worker.worker_id)
            worker.ask_to_end()
        for _ in range(self._wanted - len(active)):
            if not self._restarts.allowed(now):
                break
            self._start(now)

    def _start(self, now: float) -> None:
        taken = {worker.seat for worker in self._team}
        seat = next(number for number in range(1, len(taken) + 2) if number not in taken)
        try:
            options = options_for(self._options, self._name, seat)
            self._team.append(WorkerProcess(options, seat, now))
        except OSError as error:
            pause = self._restarts.ended(0.0, now)
            logger.error("A worker can't be started, again in {:g} s: {}", pause, error)

    def _note_end(self, worker: WorkerProcess, code: int, now: float) -> None:
        """Draw the consequences of a worker's end."""
        how, why = how_it_ended(code), worker.refusal
        if worker.retired:
            # One that didn't take tasks yet may not have known the signal.
            if code != CLEAN and worker.ready:
                logger.error("Worker {} {} while it drained", worker.worker_id, how)
                self._code = FAILED if self._stops else self._code
        elif self._options.burst and code == CLEAN:
            self._burst_over = True
        elif code == WRONG_USE and not self._queues:
            self._code, self._refusal = WRONG_USE, why or f"Worker {worker.worker_id} {how}"
        else:
            self._replace(worker, how, now)

    def _replace(self, worker: WorkerProcess, how: str, now: float) -> None:
        """Let another worker start for one that has ended unasked, and say so."""
        # Its tasks aren't done, even if others have found the queues empty.
        self._burst_over = False
        pause = self._restarts.ended(now - worker.ready_at if worker.ready else 0.0, now)
        why = worker.refusal
        if why is not None and why == self._refusal:
            logger.debug("Worker {} can't start, as before", worker.worker_id)
            return
        self._refusal = why
        logger.warning(
            "Worker {} {}, another one starts in {:g} s{}",
            worker.worker_id,
            how,
            pause,
            f": {why}" if why else "",
        )

    async def _look_around(self) -> None:
        """Look at the queues for ever, and decide."""
        while True:
            if self._queues and not self._ending:
                try:
                    found = await self._look(self._queues)
                except PoolError as error:
                    if str(error) != self._trouble:
                        logger.warning("The pool stays as it is while it sees no queue: {}", error)
                    self._trouble = str(error)
                else:
                    self._trouble = None
                    self._decide(found, _now())
            await asyncio.sleep(_LOOK)

    def _decide(self, found: Look, now: float) -> None:
        done = {f"{worker.worker_id}#{worker.pid}": worker.ended for worker in self._team}
        load = self._window.add(found.queues, self._service_time.note(done, now), now)
        share = found.share([worker.worker_id for worker in self._team])
        ours = evolve(load, arrival_rate=load.arrival_rate * share, backlog=load.backlog * share)
        starting = sum(worker.ready is None for worker in self._active)
        decision = decide(ours, self._wanted, self._goal, starting=starting)
        steadied = self._calm.steadied(decision.workers, load.service_time, now)
        if steadied != self._wanted:
            self._tell(decision, ours, steadied)
            self._wanted = steadied

    def _tell(self, decision: Decision, load: Load, wanted: int) -> None:
        logger.bind(workers=wanted, backlog=load.backlog).info(
            "The pool {} from {} to {} workers: {}",
            "grows" if wanted > self._wanted else "shrinks",
            self._wanted,
            wanted,
            decision.reason,
        )


def options_for(options: WorkerOptions, name: str, seat: int) -> WorkerOptions:
    """Return the options of one worker: the pool's, but for what no two workers may share.

    The first worker's metrics are at `--metrics-port`, the others' at the ports behind it.

    Args:
        options: the pool's.
        name: what the workers' names begin with.
        seat: the worker's number; no two that live have the same.
    """
    port = options.metrics_port
    # 0 finds each worker a port of its own.
    port = port + seat - 1 if port else port
    return evolve(options, worker_id=f"{name}-{seat}", metrics_port=port)


def _now() -> float:
    return time.monotonic()
