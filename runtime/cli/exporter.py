"""Shows the queues' figures to Prometheus, once for all workers."""

from typing import Annotated, Final

from attrs import frozen
from cyclopts import Parameter

from runtime.cli.options import DATA_DIR, DataDir, LogFormatOption, LogLevelOption, RedisUrl
from runtime.cli.values import Names, Port


@Parameter(name="*")
@frozen(kw_only=True)
class ExporterOptions:
    """What is looked at, and where it is shown.

    Attributes:
        port: Serve the metrics there; 0 for any port that is free, which the log tells.
        host: Where they are served. They need no password: 0.0.0.0 shows them to whoever reaches
            this machine.
        queues: More queues to look at; those of BRAiN and of living workers are there anyway.
            Repeat it or write commas.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
        log_level: The least level that is logged.
        log_format: Text for people, or one JSON object a line for machines.
    """

    port: Port = 9115
    host: Annotated[str, Parameter(metavar="HOST")] = "127.0.0.1"
    queues: Names = ()
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR
    log_level: LogLevelOption = "info"
    log_format: LogFormatOption = "text"


_DEFAULTS: Final = ExporterOptions()


def exporter(*, options: ExporterOptions = _DEFAULTS) -> int:
    """Show the queues' figures to Prometheus: length, age, in flight, delayed, dead, workers.

    One exporter is enough for all workers of a server. It reads at each scrape, writes nothing,
    and runs until SIGTERM or Ctrl-C.

    Args:
        options: what is looked at, and where it is shown.
    """
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime import logs  # noqa: PLC0415
    from runtime.cli import place  # noqa: PLC0415
    from runtime.metrics.package import needs_metrics  # noqa: PLC0415
    from runtime.redis.connection import parse_url  # noqa: PLC0415

    needs_metrics("The exporter")
    logs.configure(options.log_level, options.log_format)
    url = place.find(options.redis_url, options.data_dir)
    parse_url(url)
    asyncio.run(_serve(url, options))
    return 0


async def _serve(url: str, options: ExporterOptions) -> None:
    import asyncio  # noqa: PLC0415 - as above
    import signal  # noqa: PLC0415

    from loguru import logger  # noqa: PLC0415

    from runtime.metrics.endpoint import endpoint  # noqa: PLC0415
    from runtime.metrics.exporter import Exporter  # noqa: PLC0415

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    shown = Exporter(url, options.queues)
    try:
        with endpoint(
            shown.registry, options.host, options.port, settings=("--host", "--port")
        ) as where:
            logger.info("Metrics of the queues are at {}", where)
            await stopped.wait()
    finally:
        await shown.aclose()
