"""Where the payload of `push` comes from: an argument, a file, or standard input."""

import sys
from pathlib import Path
from typing import Any, TextIO

import msgspec

from messages.redaction import redact
from runtime.errors import ConfigurationError

_CONTEXT = 20


def read(argument: str | None, file: Path | None, stdin: TextIO | None = None) -> dict[str, Any]:
    """Return the payload of a task; nothing at all means an empty one.

    Args:
        argument: JSON, `@file`, or `-` for standard input.
        file: a file of JSON.
        stdin: read if neither is given, unless it is a terminal.

    Raises:
        ConfigurationError: it is no JSON object, or can't be read.
    """
    stdin = stdin or sys.stdin
    if argument is not None and file is not None:
        raise ConfigurationError("PAYLOAD", "given with --file as well", "one of the two")
    if argument is not None and argument.startswith("@"):
        file, argument = Path(argument[1:]), None
    if file is not None:
        return _object(f"the payload in {file}", _contents(file))
    if argument == "-" or (argument is None and not stdin.isatty()):
        text = stdin.read()
        # `push` in a script, with nothing to read: as without an argument on a terminal.
        return _object("the payload on standard input", text) if text.strip() else {}
    return {} if argument is None else _object("PAYLOAD", argument)


def _contents(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        came = f"{str(file)!r} ({error.strerror or error})"
    except UnicodeDecodeError:
        came = f"{str(file)!r}, which isn't UTF-8"
    raise ConfigurationError("--file", came, "a file of JSON that can be read")


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ConfigurationError(name, _broken(text, error), "a JSON object") from None
    except RecursionError:
        raise ConfigurationError(name, "nested too deeply", "a JSON object") from None
    if not isinstance(found, dict):
        kinds = {list: "a JSON array", str: "a JSON string", bool: "a JSON boolean"}
        kind = "null" if found is None else kinds.get(type(found), "a JSON number")
        raise ConfigurationError(name, kind, 'a JSON object such as \'{"cluster_id": "demo"}\'')
    return found


def _broken(text: str, error: Exception) -> str:
    """Say where JSON breaks off, as line and column."""
    words = str(error)
    reason, _, position = words.partition(" (byte ")
    # Without a position, it broke off at the end.
    at = int(position.rstrip(")")) if position else None
    before = text.encode(errors="replace")[:at].decode(errors="replace")
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    near = redact(before)[-_CONTEXT:].rpartition("\n")[2]
    reason = reason.removeprefix("JSON is malformed: ").replace("Input", "input", 1)
    where = f"line {line}, column {column}" + (f", behind {near!r}" if near else "")
    return f"not JSON: {reason} at {where}"
