"""What the log looks like; called by the composition root and by nobody else.

One line an event on standard error: text for people, coloured on a terminal, or a JSON object.
What libraries say through `logging` and `warnings` joins it. Whatever is logged while a task is
run says the task's id, type and attempt, and its trace if it is traced. The passwords in the
worker's own URLs, and what looks like a secret, are taken out of it: see `messages.redaction`.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec
from loguru import logger

from actors import name_task
from messages.redaction import MASK, is_telling, redact
from runtime.traces.current import current_ids

if TYPE_CHECKING:
    from loguru import Message, Record

_INFO: Final = 20
_OURS: Final = ("task_id", "task_type", "attempt", "trace_id", "span_id")


def configure(
    level: str, log_format: str, stream: TextIO | None = None, *, secrets: Sequence[str] = ()
) -> None:
    """Set the log up.

    Args:
        level: the least level that is shown, in any case.
        log_format: `text` or `json`.
        stream: where it goes; standard error if not given.
        secrets: what no line may hold, the longest first.
    """
    stream = stream or sys.stderr
    name = level.upper()
    logger.remove()
    logger.configure(patcher=_name_origin)
    # `diagnose` would show the values of variables: one of them may be a password.
    if log_format == "json":
        sink = _json_sink(stream, secrets)
        logger.add(sink, level=name, format="{message}", backtrace=False, diagnose=False)
    else:
        lines = _RedactedStream(stream, secrets)
        logger.add(lines, level=name, format=_text_format, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_Forwarder()], level=name, force=True)
    logging.captureWarnings(capture=True)


def shows_tasks(level: str) -> bool:
    """Whether lines of level INFO, which tell of each task, are shown."""
    return logger.level(level.upper()).no <= _INFO


def _name_origin(record: "Record") -> None:
    name_task(record)
    ids = current_ids()
    # Who has bound a trace speaks of another than the one that is current.
    if ids and "trace_id" not in record["extra"]:
        record["extra"] = ids | record["extra"]


class _RedactedStream:
    """A stream on which no secret is written.

    Args:
        stream: what is written on.
        secrets: what is known to be secret.
    """

    def __init__(self, stream: TextIO, secrets: Sequence[str]) -> None:
        self._stream = stream
        self._secrets = secrets

    def write(self, text: str) -> None:
        """Write a line, its secrets masked."""
        self._stream.write(redact(text, self._secrets))

    def flush(self) -> None:
        """Write what is still buffered."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Say whether it is a terminal, so that there are colours on one."""
        return self._stream.isatty()


class _Forwarder(logging.Handler):
    """Gives what libraries log to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - its arguments don't fit; that mustn't fail who logs
            text = f"{record.msg} {record.args}"
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        place = logger.patch(lambda entry: entry.update(name=record.name))  # type: ignore[call-arg]  # a TypedDict takes one key
        place.opt(exception=record.exc_info).log(level, "{}", text)


def _text_format(record: "Record") -> str:
    return (
        "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level: <8}</level> "
        + _origin(record)
        + "{message}\n{exception}"
    )


def _origin(record: "Record") -> str:
    """Say which task a line is about: its type and attempt, and what the message doesn't say."""
    extra = record["extra"]
    origin = ""
    if "task_type" in extra:
        attempt = "#{extra[attempt]}" if "attempt" in extra else ""
        origin = f"<cyan>{{extra[task_type]}}{attempt}</cyan> "
    if extra.get("task_id") and str(extra["task_id"]) not in record["message"]:
        origin += "<dim>{extra[task_id]}</dim> "
    if "trace_id" in extra:
        origin += "<dim>trace={extra[trace_id]}</dim> "
    return origin


def _json_sink(stream: TextIO, secrets: Sequence[str]) -> Callable[["Message"], None]:
    def write(message: "Message") -> None:
        line = msgspec.json.encode(_entry(message.record, secrets), enc_hook=str)
        stream.write(line.decode() + "\n")
        stream.flush()

    return write


def _entry(record: "Record", secrets: Sequence[str]) -> dict[str, Any]:
    """Return a record as it is written; each text is redacted before it is part of JSON."""
    entry: dict[str, Any] = {
        "time": record["time"],
        "level": record["level"].name.lower(),
        "message": redact(record["message"], secrets).encode(errors="replace").decode(),
        "logger": record["name"],
    }
    # First ours, so that they stand at the same place in each line.
    extra = record["extra"]
    entry.update((key, extra[key]) for key in _OURS if key in extra)
    entry.update(
        (key, _shown(key, value, secrets)) for key, value in extra.items() if key not in entry
    )
    error = record["exception"]
    if error is not None and error.type is not None:
        lines = traceback.format_exception(error.type, error.value, error.traceback)
        entry["exception"] = redact("".join(lines), secrets).encode(errors="replace").decode()
    return entry


def _shown(key: str, value: object, secrets: Sequence[str]) -> object:
    """Return a bound value as it may be written."""
    if is_telling(key):
        return MASK
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_shown("", one, secrets) for one in value]
    return redact(str(value), secrets).encode(errors="replace").decode()
