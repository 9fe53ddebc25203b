"""The composition root: the only module where concrete parts meet.

`prepare` looks at the options and finds the handlers, before anything is started. `compose` opens
what the chosen handlers need, and nothing else, and puts the worker together.
"""

import os
import platform
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import anyio
from attrs import frozen
from loguru import logger

from actors import Handlers, Identity, Listener, Surroundings, Worker, WorkerSettings
from runtime import embedded, logs
from runtime.brain.errors import DatabaseUnreachableError
from runtime.cli import handler_modules
from runtime.cli.handler_modules import BRAIN
from runtime.cli.options import DATA_DIR, WorkerOptions
from runtime.cli.screen import Facts
from runtime.errors import ConfigurationError
from runtime.loop_watch import StallLimits
from runtime.metrics.package import needs_metrics
from runtime.process_meter import ProcessMeter
from runtime.redis import keys, rights
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.broker import RedisBroker, RedisSettings
from runtime.redis.connection import async_client, dialer, parse_url
from runtime.redis.line import Line
from runtime.settings_secrets import secrets_of
from runtime.task_queue import TaskQueue
from runtime.traces.settings import endpoint

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import QueuePool

    from runtime.brain.memory import Memory
    from runtime.brain.ollama import Ollama
    from runtime.brain.ollama_meter import Meter
    from runtime.metrics.worker import WorkerMetrics
    from runtime.traces.export import Traces

_LONGEST_NAME = 200

_EVENTS_CALL = 5.0
"""Seconds that a call of the sender of events may take."""


@frozen
class Plan:
    """What is to run, checked as far as it can be before anything is started.

    Attributes:
        options: the user's.
        worker_id: the worker's name.
        own: the handlers of each name in `options.handlers` that isn't `brain`.
        traces: what the process traces with, if it does.
    """

    options: WorkerOptions
    worker_id: str
    own: dict[str, Handlers]
    traces: "Traces | None" = None

    @property
    def needs_database(self) -> bool:
        """Whether any of the handlers works on BRAiN's database."""
        return needs_database(self.options)


def needs_database(options: WorkerOptions) -> bool:
    """Say whether any of the handlers works on BRAiN's database."""
    return BRAIN in options.handlers


@frozen
class Composed:
    """A worker that is ready to run, and what people may know of it."""

    worker: Worker
    facts: Facts


def prepare(options: WorkerOptions, surroundings: Surroundings | None = None) -> Plan:
    """Check the options and import the handlers.

    Raises:
        ConfigurationError: an option can't be used; names it.
        BrainError: likewise DATABASE_URL.
    """
    token = (surroundings or Surroundings()).token()
    worker_id = _checked_name(options.worker_id or f"{platform.node() or 'worker'}-{token}")
    plan = Plan(
        options=options,
        worker_id=worker_id,
        # Before the handlers' modules make clients and engines.
        traces=_traces(options, worker_id),
        own={name: handler_modules.load(name) for name in options.handlers if name != BRAIN},
    )
    if options.redis_url:
        ignored = parse_url(options.redis_url).ignored
        if ignored:
            logger.warning("REDIS_URL: the pool decides these itself: {}", ", ".join(ignored))
    if options.metrics_port is not None:
        needs_metrics("--metrics-port")
    if plan.needs_database:
        _check_brain(options)
    elif options.database_url:
        logger.info("DATABASE_URL has no effect: none of the handlers is BRAiN's own")
    return plan


@asynccontextmanager
async def compose(
    plan: Plan, on_stuck: Callable[[tuple[str, ...]], None]
) -> AsyncIterator[Composed]:
    """Open what the handlers need and put the worker together.

    On leaving, private servers that nobody else uses are stopped. A cancellation meanwhile leaves
    nothing behind.

    Args:
        plan: what is to run.
        on_stuck: called when all is settled and a handler still can't be cancelled.

    Raises:
        PoolError: an option, or the Redis server, can't be used.
        EmbeddedError: a private server can't.
        BrainError: the database can't.
        HandlerError: two handlers are for the same type, or a recurring task can't be fired here.
    """
    options = plan.options
    async with AsyncExitStack() as stack:
        if plan.traces is not None:
            stack.push_async_callback(plan.traces.aclose)
        redis_url, database_url = await places(options, stack)
        metrics = _metrics(options)
        handlers, database = await _handlers(plan, redis_url, database_url, stack, metrics)
        broker = RedisBroker(
            redis_url,
            RedisSettings(
                connect_timeout=options.connect_timeout,
                dead_letters_kept=options.dead_letters_kept,
                stall=StallLimits(warning=options.stall_warning, limit=options.stall_limit),
                also_needed=rights.of_brain() if plan.needs_database else (),
            ),
            meter=None if metrics is None else metrics.redis,
        )
        worker = Worker(
            broker,
            handlers,
            _queues(options, handlers),
            concurrency=options.concurrency,
            worker_id=plan.worker_id,
            settings=_settings(options),
            identity=Identity(
                host=platform.node(),
                pid=os.getpid(),
                version=version("brain-worker-pool"),
                usage=ProcessMeter().usage,
            ),
            on_stuck=on_stuck,
            instruments=None if metrics is None else metrics.tasks,
            listener=await _listener(plan, redis_url, stack),
            tracer=None if plan.traces is None else plan.traces.tracer,
        )
        if metrics is not None:
            where = (options.metrics_host, options.metrics_port or 0)
            stack.enter_context(metrics.served(worker, handlers, *where))
        yield Composed(worker, _facts(plan, handlers, redis_url, database))


def _traces(options: WorkerOptions, worker_id: str) -> "Traces | None":
    """Begin to trace this process, if somebody collects that.

    Raises:
        ConfigurationError: nothing can be sent there.
    """
    url = endpoint(options.traces, os.environ)
    if url is None:
        return None
    from runtime.traces.export import Traces  # noqa: PLC0415 - off costs nothing

    return Traces(url, service="brain-worker", instance=worker_id, secrets=secrets(options))


def secrets(options: WorkerOptions) -> tuple[str, ...]:
    """Return the passwords in the worker's own URLs, which neither a line nor a span may hold."""
    urls = (options.redis_url, options.database_url, options.qdrant_url, options.ollama_host)
    return secrets_of(urls)


async def _listener(plan: Plan, redis_url: str, stack: AsyncExitStack) -> Listener | None:
    """Return who tells of the worker's life in the stream of events, if that is wanted."""
    options = plan.options
    if not options.events:
        return None
    from runtime.events.outbox import Outbox  # noqa: PLC0415 - off costs nothing
    from runtime.events.records import Writer  # noqa: PLC0415
    from runtime.events.sender import Sender, sending  # noqa: PLC0415

    outbox = Outbox(Writer(plan.worker_id), Surroundings().now)
    backoff = ReconnectBackoff(random.random, cap=0.5)
    dial = dialer(redis_url, client_name="brain-worker-events")
    line = Line(dial, _EVENTS_CALL, backoff, str(parse_url(redis_url)))
    await stack.enter_async_context(sending(Sender(outbox, line, options.events_kept)))
    return outbox


def _metrics(options: WorkerOptions) -> "WorkerMetrics | None":
    """Return what measures the worker, if somebody wants to know."""
    if options.metrics_port is None:
        return None
    from runtime.metrics.worker import WorkerMetrics  # noqa: PLC0415 - off costs nothing

    return WorkerMetrics()


async def places(options: WorkerOptions, stack: AsyncExitStack) -> tuple[str, str | None]:
    """Return the URLs of Redis and, if it is needed, the database, starting private ones.

    Raises:
        EmbeddedError: a private server can't be used.
    """
    valkey = not options.redis_url
    postgres = needs_database(options) and not options.database_url
    if not valkey and not postgres:
        return options.redis_url or "", options.database_url
    private = await stack.enter_async_context(
        embedded.servers(options.data_dir, valkey=valkey, postgres=postgres)
    )
    return (
        private.redis_url or options.redis_url or "",
        private.database_url or options.database_url,
    )


async def _handlers(
    plan: Plan,
    redis_url: str,
    database_url: str | None,
    stack: AsyncExitStack,
    metrics: "WorkerMetrics | None",
) -> tuple[Handlers, str | None]:
    """Return the chosen handlers, and where their database is, if they have one."""
    if not plan.needs_database or database_url is None:
        return handler_modules.merge(list(plan.own.values())), None
    from runtime.brain import database  # noqa: PLC0415 - only these need SQLAlchemy
    from runtime.brain.handlers import brain_handlers  # noqa: PLC0415
    from runtime.brain.mission_watch import MissionWatch, watching  # noqa: PLC0415
    from runtime.brain.services import Services  # noqa: PLC0415

    options = plan.options
    # One connection for each slot, and one for the watch over missions.
    engine = database.engine(database_url, concurrency=options.concurrency + 1)
    stack.push_async_callback(engine.dispose)
    if metrics is not None:
        metrics.watch_pool(cast("QueuePool", engine.pool))
    await _wait_for_database(engine, private=not options.database_url, within=options)
    redis = async_client(redis_url, client_name="brain-worker-probe")
    stack.push_async_callback(redis.aclose)
    ollama, memory = _chat_services(options, None if metrics is None else metrics.ollama)
    stack.push_async_callback(ollama.aclose)
    stack.push_async_callback(memory.aclose)
    queue = TaskQueue(redis_url)
    stack.push_async_callback(queue.close)
    services = Services(engine=engine, redis=redis, queue=queue, ollama=ollama, memory=memory)
    dial = dialer(redis_url, client_name="brain-worker-missions")
    backoff = ReconnectBackoff(random.random, cap=5.0)
    await stack.enter_async_context(watching(MissionWatch(services, dial, backoff)))
    brain = brain_handlers(services)
    merged = handler_modules.merge([plan.own.get(name, brain) for name in options.handlers])
    where = database.address(database.parse_url(database_url))
    return merged, where if options.database_url else f"{where}, private"


async def _wait_for_database(
    engine: "AsyncEngine", *, private: bool, within: WorkerOptions
) -> None:
    """Look at the database's tables, waiting for one that is out of reach; make a private one's.

    Raises:
        BrainError: its tables are others than the handlers need, it refuses us, or it stayed out
            of reach for `--connect-timeout`.
    """
    from runtime.brain import database, schema  # noqa: PLC0415 - only BRAiN's handlers need them

    timeout = within.connect_timeout
    deadline = anyio.current_time() + (float("inf") if timeout is None else timeout)
    backoff = ReconnectBackoff(random.random, base=0.2, cap=5.0)
    while True:
        try:
            if private:
                await schema.create_in_empty(engine)
            await schema.check(engine)
        except DatabaseUnreachableError as error:
            # A refused password stays refused; a server that isn't there may come.
            if not database.may_come(error) or anyio.current_time() >= deadline:
                raise
            pause = backoff.next()
            if backoff.worth_saying:
                logger.warning("Waiting for the database at {}: {}", error.address, error.problem)
            await anyio.sleep(min(pause, max(0.0, deadline - anyio.current_time())))
        else:
            return


def _check_brain(options: WorkerOptions) -> None:
    try:
        from runtime.brain import database, handlers  # noqa: F401, PLC0415 - look whether they load
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "--handlers",
            f"'brain', which needs the package {error.name}",
            'it to be installed (pip install "brain-worker-pool[brain]"), or handlers of your own',
        ) from None
    if options.database_url:
        database.parse_url(options.database_url)
    _chat_services(options)


def _chat_services(options: WorkerOptions, meter: "Meter | None" = None) -> "tuple[Ollama, Memory]":
    """Return what `agent.chat` works with; neither connects before it is used.

    Raises:
        ConfigurationError: `OLLAMA_HOST`, a model's name or `QDRANT_URL` can't be read.
    """
    from runtime.brain.memory import Memory  # noqa: PLC0415 - only BRAiN's handlers need them
    from runtime.brain.ollama import Ollama  # noqa: PLC0415

    ollama = Ollama(
        options.ollama_host,
        model=options.ollama_model,
        embed_model=options.ollama_embed_model,
        meter=meter,
    )
    return ollama, Memory(options.qdrant_url, options.data_dir / "qdrant")


def _checked_name(worker_id: str) -> str:
    if len(worker_id) > _LONGEST_NAME or not worker_id.isprintable():
        raise ConfigurationError(
            "WORKER_ID", repr(worker_id), f"at most {_LONGEST_NAME} printable characters"
        )
    return worker_id


def _queues(options: WorkerOptions, handlers: Handlers) -> tuple[str, ...]:
    return options.queues or handlers.queues or (keys.CLUSTER_QUEUE,)


def _settings(options: WorkerOptions) -> WorkerSettings:
    return WorkerSettings(
        grace=options.grace,
        timeout=options.timeout,
        max_task_bytes=options.max_task_bytes,
        max_result_bytes=options.max_result_bytes,
        strict_order=options.strict_order,
        burst=options.burst,
        log_tasks=logs.shows_tasks(options.log_level),
    )


def _facts(plan: Plan, handlers: Handlers, redis_url: str, database: str | None) -> Facts:
    options = plan.options
    shown = str(parse_url(redis_url))
    first: Any = next(iter(handlers.values()), None)
    queues = _queues(options, handlers)
    return Facts(
        worker_id=plan.worker_id,
        queues=queues,
        types=tuple(handlers),
        slots=options.concurrency,
        redis=shown,
        redis_is_private=not options.redis_url,
        redis_has_secret=shown != redis_url,
        database=database,
        data_dir=None if options.data_dir == DATA_DIR else options.data_dir,
        first_task=(first.task_type if first else "hello", (first and first.queue) or queues[0]),
    )
