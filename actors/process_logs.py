"""Lines of the log from handlers in processes, written by the worker among its own.

So they have its level, its format and its place, and the task's id with each of them. As in the
worker, what libraries say through `logging` and `warnings` is among them.
"""

import logging
import sys
from collections.abc import Callable
from contextvars import Context as ContextVars
from typing import TYPE_CHECKING

from loguru import logger

from actors.current import name_task
from actors.process_wire import LogLine, readable

if TYPE_CHECKING:
    from loguru import Message, Record


def send_lines(tell: Callable[[LogLine], None]) -> None:
    """Send whatever this process logs to the worker, instead of printing it."""

    def send(message: "Message") -> None:
        record = message.record
        tell(
            LogLine(
                level=readable(record["level"].name),
                severity=record["level"].no,
                text=readable(str(message).rstrip("\n")),
                bound={readable(str(key)): _plain(value) for key, value in record["extra"].items()},
                name=readable(record["name"] or ""),
                function=readable(record["function"]),
                line=record["line"],
            )
        )

    logger.remove()
    logger.configure(patcher=name_task)
    # `diagnose` would show the values of variables: one of them may be a password.
    logger.add(send, format="{message}", level="DEBUG", backtrace=False, diagnose=False)
    # What is shown of it is the worker's to choose.
    logging.basicConfig(handlers=[_Forwarder()], level=logging.INFO, force=True)
    logging.captureWarnings(capture=True)


def print_lines() -> None:
    """Print the log on standard error again."""
    logger.remove()
    logger.add(sys.stderr, backtrace=False, diagnose=False)


class _Forwarder(logging.Handler):
    """Gives what libraries log to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        def place(entry: "Record") -> None:
            entry["name"], entry["function"] = record.name, record.funcName
            entry["line"] = record.lineno

        logger.patch(place).opt(exception=record.exc_info).log(
            record.levelno, "{}", record.getMessage()
        )


def write_line(line: LogLine) -> None:
    """Write what a process has sent."""

    def place(record: "Record") -> None:
        record["name"], record["function"] = line.name, line.function
        record["line"] = line.line

    def write() -> None:
        logger.bind(**line.bound).patch(place).log(_level(line), "{}", line.text)

    if "task_id" in line.bound:
        write()
    else:
        # The process knows best which task and trace it is about: a line from between two calls
        # is about none, though another call may be under way here.
        ContextVars().run(write)


def _level(line: LogLine) -> str | int:
    try:
        return logger.level(line.level).name
    except ValueError:  # a level of `logging`, or one that only the handler's module has added
        names = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
        return names.get(line.severity, line.severity)


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and value.bit_length() < 64:  # noqa: PLR2004 - what the wire holds
        return int(value)
    return readable(str(value))
