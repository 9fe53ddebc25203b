"""The commands, and what a person reads who uses them wrongly."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from messages.redaction import redact
from runtime.cli.dead import dead_app
from runtime.cli.demo import demo
from runtime.cli.desired import desired
from runtime.cli.exporter import exporter
from runtime.cli.health import health
from runtime.cli.options import VARIABLES
from runtime.cli.orders import cancel, pause, resume
from runtime.cli.pool import pool
from runtime.cli.push import push
from runtime.cli.status import status
from runtime.cli.task import task
from runtime.cli.worker import worker
from runtime.errors import ConfigurationError, PoolError

DISTRIBUTION: Final = "brain-worker-pool"

WRONG_USE: Final = 2
INTERRUPTED: Final = 130

_PROLOGUE: Final = """\
A pool of workers that take JSON tasks from Redis lists and can't lose one.

Without a command it runs a worker. With neither REDIS_URL nor DATABASE_URL set, the worker starts
private servers, so that nothing needs to be configured. The first SIGTERM or Ctrl-C lets running
tasks finish, the second hurries them.

Exit codes of a worker: 0 it has drained, 1 it crashed or left answers unsettled, 2 wrong use or
configuration.
"""


def make_app() -> App:
    """Return the command line."""
    app = App(
        name="python -m runtime",
        help=_PROLOGUE,
        help_format="markdown",
        version=_version,
        result_action="return_value",
    )
    app.default(worker)
    for command in (push, task, cancel, pause, resume, status, health, exporter):
        app.command(command)
    app.command(dead_app())
    app.command(demo)
    app.command(pool)
    app.command(desired)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; what a user can cause is one sentence."""
    for name in VARIABLES:
        if os.environ.get(name) == "":
            del os.environ[name]
    try:
        code = make_app()(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _wrong_use(_sentence(error))
    except PoolError as error:
        return _wrong_use(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has read enough; the interpreter must not complain of it at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _version() -> str:
    # Dear to import, and nothing else here needs it.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return f"{DISTRIBUTION} {version(DISTRIBUTION)}"
    except PackageNotFoundError:
        return f"{DISTRIBUTION} (not installed)"


def _wrong_use(sentence: str) -> int:
    print(redact(sentence), file=sys.stderr)  # noqa: T201 - it is the command line's
    return WRONG_USE


def _sentence(error: CycloptsError) -> str:
    """Say what is wrong with the command line, in our words where we have some."""
    for cause in _causes(error):
        if isinstance(cause, ConfigurationError):
            return str(cause)
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        word = error.unused_tokens[0]
        return f"{word!r} has no place here; `python -m runtime --help` shows what has."
    error.verbose = False
    return f"{' '.join(str(error).split())} `python -m runtime --help` shows what there is."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
