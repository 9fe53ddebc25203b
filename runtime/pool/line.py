"""What a worker's process and the supervisor tell each other, a JSON object a line.

The supervisor's only line is the worker's options; so no password stands on a command line.
"""

from pathlib import Path
from typing import Any

import cattrs
import msgspec
from attrs import frozen

from runtime.cli.options import WorkerOptions
from runtime.pool.window import Ended


@frozen
class Ready:
    """The worker takes tasks.

    Attributes:
        queues: which it serves.
    """

    queues: tuple[str, ...]


@frozen
class Refused:
    """The worker can't start.

    Attributes:
        why: in a sentence.
    """

    why: str


Told = Ready | Refused | Ended

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Ready, Refused, Ended)}


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(Path, str)
    return converter


_CONVERTER = _converter()


def pack_options(options: WorkerOptions) -> bytes:
    """Write options as a line."""
    return msgspec.json.encode(_CONVERTER.unstructure(options)) + b"\n"


def read_options(line: bytes) -> WorkerOptions:
    """Read what `pack_options` wrote."""
    return _CONVERTER.structure(msgspec.json.decode(line), WorkerOptions)


def pack(message: Told) -> bytes:
    """Write a message as a line."""
    body = {"kind": type(message).__name__, **_CONVERTER.unstructure(message)}
    return msgspec.json.encode(body) + b"\n"


def read(line: bytes) -> Told:
    """Read what `pack` wrote.

    Raises:
        ValueError: it is no message.
    """
    try:
        body = msgspec.json.decode(line, type=dict[str, Any])
        message: Told = _CONVERTER.structure(body, _KINDS[body.pop("kind")])
    except (msgspec.MsgspecError, KeyError, TypeError, cattrs.BaseValidationError) as error:
        raise ValueError(f"a worker's process has written {line[:80]!r} on its line") from error
    return message
