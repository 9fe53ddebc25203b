"""The wiring of a worker's actors.

    session ─▶ Fetcher ═deliveries═▶ Executor (one a slot) ═outcomes═▶ Publisher ─▶ session
               HeartbeatSender · LeaseKeeper · Janitor · OrderWatch · Deadlines
               Reporter · Drain; and for each queue a Promoter and a Scheduler

`═` is a memory channel. The actors share nothing else but one `WorkerState` and one `Ledger`.

| if this ends unasked | then |
|---|---|
| a handler (raises, times out, returns nonsense) | its task is answered with a failure |
| the connection | calls wait for it or are found out about; running handlers go on |
| an actor | a bug: the whole tree ends, the lease lapses, other workers get the tasks |
| the process | the same, without a word |
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf

import anyio
from anyio.abc import TaskGroup
from attrs import frozen

from actors.broker import Session
from actors.deadlines import Deadlines
from actors.death_watch import Timing
from actors.drain import Drain, Ends
from actors.execution import Tools
from actors.executor import Executor
from actors.fetcher import Fetcher
from actors.handler import Handler
from actors.heartbeat import HeartbeatSender
from actors.intake import Channels, Intake
from actors.janitor import Janitor
from actors.lease_keeper import LeaseKeeper
from actors.ledger import Ledger
from actors.order_watch import OrderWatch
from actors.processes import Processes
from actors.promoter import Promoter
from actors.publisher import Publisher
from actors.recurrences import Recurrence
from actors.reporter import Reporter
from actors.scheduler import Scheduler
from actors.settings import WorkerSettings
from actors.state import WorkerState
from actors.stop_request import StopRequest
from actors.surroundings import Surroundings
from messages import Delivery, Heartbeat, Outcome


@frozen(eq=False, kw_only=True)
class Parts:
    """What the actors are wired from."""

    worker_id: str
    queues: tuple[str, ...]
    handlers: Mapping[str, Handler]
    recurring: Mapping[str, Sequence[Recurrence]]
    settings: WorkerSettings
    timing: Timing
    surroundings: Surroundings
    session: Session
    state: WorkerState
    ledger: Ledger
    stop: StopRequest
    compose: Callable[[], Heartbeat]


async def run_tree(parts: Parts, slots: TaskGroup) -> None:
    """Run the actors until a requested drain has ended.

    Args:
        parts: what to wire.
        slots: where the executors run. It outlives this call, so that a handler that can't be
            cancelled keeps neither the publisher from settling nor the session from being left.
    """
    session, state, ledger, settings = parts.session, parts.state, parts.ledger, parts.settings
    to_executors, deliveries = anyio.create_memory_object_stream[Delivery](inf)
    to_publisher, outcomes = anyio.create_memory_object_stream[Outcome](inf)
    channels = Channels(to_executors, deliveries, to_publisher.clone())
    intake = Intake(channels, state, ledger, settings)
    fetcher = Fetcher(parts.queues, session, intake, state, ledger, settings)
    processes = Processes(state.slots, max_result_bytes=settings.max_result_bytes)
    deadlines = Deadlines(state)
    tools = Tools(
        handlers=parts.handlers,
        settings=settings,
        surroundings=parts.surroundings,
        state=state,
        ledger=ledger,
        session=session,
        worker_id=parts.worker_id,
        processes=processes,
        deadlines=deadlines,
    )
    executors = [
        Executor(slot, deliveries.clone(), to_publisher.clone(), tools)
        for slot in range(state.slots)
    ]
    publisher = Publisher(outcomes, session, state, ledger, parts.worker_id, parts.surroundings)
    ends = Ends(executors=anyio.Event(), fetcher=anyio.Event(), publisher=anyio.Event())
    async with anyio.create_task_group() as group:
        shut = group.cancel_scope.cancel
        drain = Drain(parts.stop, ends, fetcher, executors, to_publisher, state, session, shut)
        keeper = LeaseKeeper(parts.queues, session, state, ledger)
        janitor = Janitor(
            parts.queues, session, state, parts.worker_id, parts.surroundings, parts.timing
        )
        group.start_soon(_fetch, fetcher, ends, parts)
        slots.start_soon(_execute, executors, processes, deadlines, ends)
        group.start_soon(_publish, publisher, ends)
        group.start_soon(HeartbeatSender(session, settings, parts.compose).run)
        group.start_soon(keeper.run)
        group.start_soon(janitor.run)
        group.start_soon(OrderWatch(parts.queues, session, state).run)
        for queue in parts.queues:
            group.start_soon(Promoter(queue, session, parts.surroundings).run)
        for queue, those in parts.recurring.items():
            scheduler = Scheduler(queue, those, session, parts.stop, parts.surroundings)
            group.start_soon(scheduler.run)
        reporter = Reporter(session, state, ledger, parts.worker_id, parts.surroundings)
        group.start_soon(reporter.run)
        group.start_soon(drain.run)
        group.start_soon(parts.stop.keep_time)


async def _fetch(fetcher: Fetcher, ends: Ends, parts: Parts) -> None:
    try:
        await fetcher.run()
    finally:
        ends.fetcher.set()
    # In burst mode the fetcher ends by itself, and the worker with it. Where a stop was requested
    # its grace stands: it may be longer than the settings'.
    if not parts.stop.requested:
        parts.stop.request(parts.settings.grace)


async def _execute(
    executors: list[Executor], processes: Processes, deadlines: Deadlines, ends: Ends
) -> None:
    try:
        # Whatever ends the executors, no process outlives them.
        async with processes, anyio.create_task_group() as watch:
            watch.start_soon(deadlines.run)
            async with anyio.create_task_group() as group:
                for executor in executors:
                    group.start_soon(executor.run)
            watch.cancel_scope.cancel()
    finally:
        ends.executors.set()


async def _publish(publisher: Publisher, ends: Ends) -> None:
    try:
        await publisher.run()
    finally:
        ends.publisher.set()
