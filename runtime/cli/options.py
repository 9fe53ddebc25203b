"""The options of a worker, and those that several commands share.

An option goes before its environment variable, and that before the default.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from attrs import frozen
from cyclopts import Group, Parameter

from runtime.brain.ollama_settings import DEFAULT_EMBED_MODEL, DEFAULT_MODEL
from runtime.cli.values import Count, Duration, DurationOrZero, Names, Port, Size, choice

WHERE: Final = Group("Where things are", sort_key=1)
WHAT: Final = Group("What it serves", sort_key=2)
TIMES: Final = Group("Times and sizes", sort_key=3)
OUTPUT: Final = Group("Output", sort_key=4)

DATA_DIR: Final = Path(".brain")

Level = Literal["debug", "info", "warning", "error", "critical"]
LogFormat = Literal["text", "json"]
LogLevelOption = Annotated[
    Level, Parameter(env_var="LOG_LEVEL", group=OUTPUT, converter=choice(*get_args(Level)))
]
LogFormatOption = Annotated[
    LogFormat,
    Parameter(env_var="LOG_FORMAT", group=OUTPUT, converter=choice(*get_args(LogFormat))),
]

RedisUrl = Annotated[str | None, Parameter(env_var="REDIS_URL", group=WHERE, metavar="URL")]
DataDir = Annotated[Path, Parameter(group=WHERE)]
StateDir = Annotated[Path | None, Parameter(env_var="BRAIN_STATE_DIR", group=WHERE)]
TracesOption = Annotated[
    str | None, Parameter(env_var="OTEL_EXPORTER_OTLP_ENDPOINT", group=OUTPUT, metavar="URL")
]
Flag = Parameter(negative="", show_default=False)

VARIABLES: Final = (
    "REDIS_URL",
    "DATABASE_URL",
    "OLLAMA_HOST",
    "OLLAMA_MODEL",
    "OLLAMA_EMBED_MODEL",
    "QDRANT_URL",
    "WORKER_ID",
    "WORKER_CONCURRENCY",
    "BRAIN_STATE_DIR",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "METRICS_HOST",
    "METRICS_PORT",
    "BRAIN_EVENTS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""The environment variables that are read. One that is empty counts as one that isn't set."""


@Parameter(name="*")
@frozen(kw_only=True)
class WorkerOptions:
    """How a worker runs. Times take plain seconds or 500ms, 30s, 10m, 1h; sizes 64KiB or 1MiB.

    Attributes:
        redis_url: The queue server: redis://[user:password@]host:port/db, rediss://... for TLS,
            or unix:///path/to/socket. Without one, a private Valkey starts in the data directory.
        database_url: BRAiN's database: postgresql+asyncpg://user:password@host:port/name. Without
            one, and only if BRAiN's own handlers run, a private PostgreSQL starts in the data
            directory, with BRAiN's tables and a cluster named demo.
        ollama_host: The Ollama that agents chat with, in each form that Ollama itself takes: host,
            host:port, :port, http(s)://host:port/prefix. [default: 127.0.0.1:11434]
        ollama_model: The model that agents chat with, unless the task names another.
        ollama_embed_model: The model that embeds what agents remember, unless the task or its
            cluster's config names another.
        qdrant_url: The Qdrant server that holds what agents remember: http(s)://host:port. Without
            one, Qdrant's local mode keeps it in the data directory.
        data_dir: Where the private servers, and Qdrant's local mode, keep their files.
        state_dir: Where the worker notes that it is alive, for the command health.
            [default: $XDG_RUNTIME_DIR, else the directory for temporary files]
        handlers: Which handlers serve: brain for BRAiN's own, or module:attribute for an
            actors.Handlers of yours; repeat it for several. [default: brain]
        queues: The queues to take from; repeat it or write commas. [default: those of the
            handlers]
        strict_order: Empty an earlier queue before looking at a later one, instead of taking
            turns.
        concurrency: How many tasks run at once.
        worker_id: The worker's name. [default: the host's name and a random part]
        burst: End, with exit code 0, when the queues are empty.
        grace: How long running tasks may go on after SIGTERM or Ctrl-C; a second signal allows 5 s
            at most.
        timeout: How long a handler may run, unless it or the task says otherwise.
        connect_timeout: How long to wait at the start for a server that is out of reach.
            [default: for ever]
        stall_warning: Log the code that blocks the event loop after that long.
        stall_limit: Give the tasks of an event loop that is stuck to other workers after that
            long.
        dead_letters_kept: How many dead letters of a queue are kept; the oldest make room for newer
            ones.
        max_task_bytes: The largest task that is run.
        max_result_bytes: The largest result that a handler may return.
        log_level: The least level that is logged. Info has two lines a task.
        log_format: Text for people, or one JSON object a line for machines.
        metrics_port: Serve Prometheus metrics there; 0 for any port that is free, which the log
            tells. Without one, nothing is measured and no port is opened.
        metrics_host: Where the metrics are served. They need no password: 0.0.0.0 shows them to
            whoever reaches this machine.
        events: Write what becomes of workers and tasks to the stream brain:events:workers, without
            payloads.
        events_kept: How many events that stream keeps, about.
        traces: Send traces there, an OpenTelemetry collector's address for OTLP over HTTP, such as
            http://localhost:4318. Without one, nothing is traced.
    """

    redis_url: RedisUrl = None
    database_url: Annotated[
        str | None, Parameter(env_var="DATABASE_URL", group=WHERE, metavar="URL")
    ] = None
    ollama_host: Annotated[
        str, Parameter(env_var="OLLAMA_HOST", group=WHERE, metavar="HOST", show_default=False)
    ] = ""
    ollama_model: Annotated[
        str, Parameter(env_var="OLLAMA_MODEL", group=WHERE, metavar="MODEL")
    ] = DEFAULT_MODEL
    ollama_embed_model: Annotated[
        str, Parameter(env_var="OLLAMA_EMBED_MODEL", group=WHERE, metavar="MODEL")
    ] = DEFAULT_EMBED_MODEL
    qdrant_url: Annotated[
        str | None, Parameter(env_var="QDRANT_URL", group=WHERE, metavar="URL")
    ] = None
    data_dir: DataDir = DATA_DIR
    state_dir: StateDir = None
    handlers: Annotated[Names, Parameter(group=WHAT)] = ("brain",)
    queues: Annotated[Names, Parameter(group=WHAT)] = ()
    strict_order: Annotated[bool, Flag, Parameter(group=WHAT)] = False
    concurrency: Annotated[Count, Parameter(env_var="WORKER_CONCURRENCY", group=WHAT)] = 2
    worker_id: Annotated[str | None, Parameter(env_var="WORKER_ID", group=WHAT, metavar="NAME")] = (
        None
    )
    burst: Annotated[bool, Flag, Parameter(group=WHAT)] = False
    grace: Annotated[DurationOrZero, Parameter(group=TIMES)] = 30.0
    timeout: Annotated[Duration, Parameter(group=TIMES)] = 600.0
    connect_timeout: Annotated[
        DurationOrZero | None, Parameter(group=TIMES, show_default=False)
    ] = None
    stall_warning: Annotated[Duration, Parameter(group=TIMES)] = 1.0
    stall_limit: Annotated[Duration, Parameter(group=TIMES)] = 600.0
    dead_letters_kept: Annotated[Count, Parameter(group=TIMES)] = 100_000
    max_task_bytes: Annotated[Size, Parameter(group=TIMES)] = 2**20
    max_result_bytes: Annotated[Size, Parameter(group=TIMES)] = 2**20
    log_level: LogLevelOption = "info"
    log_format: LogFormatOption = "text"
    metrics_port: Annotated[Port | None, Parameter(env_var="METRICS_PORT", group=OUTPUT)] = None
    metrics_host: Annotated[
        str, Parameter(env_var="METRICS_HOST", group=OUTPUT, metavar="HOST")
    ] = "127.0.0.1"
    events: Annotated[bool, Flag, Parameter(env_var="BRAIN_EVENTS", group=OUTPUT)] = False
    events_kept: Annotated[Count, Parameter(group=OUTPUT)] = 10_000
    traces: TracesOption = None
