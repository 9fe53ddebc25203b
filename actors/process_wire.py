"""What a worker and one of its handler processes tell each other.

A frame is four bytes of length, the highest first, and that many bytes of JSON. Payloads and
results lie in it as they are, undecoded (I8). No pickle: what a handler's process sends can be
wrong, but it can't run code in the worker.

    worker                     process
    Call ───────────────────▶            one at a time
         ◀─────────────────── LogLine, Progressed    any number
         ◀─────────────────── Saving                 one at a time
    SaveEnded ──────────────▶
         ◀─────────────────── Returned | Rejecting | Retrying | Raised
"""

import struct
from datetime import datetime
from typing import Final

import msgspec

HEADER: Final = struct.Struct(">I")
"""The length of what follows."""

LONGEST_FRAME: Final = 2**32 - 1
"""Bytes."""


class Place(msgspec.Struct, frozen=True):
    """Where a process finds a handler.

    Attributes:
        module: the name to import.
        path: the file to run instead, for the script that the worker was started as.
        function: its name in the module.
    """

    module: str
    path: str | None
    function: str


class Call(msgspec.Struct, tag=True, frozen=True):
    """Run a handler.

    Attributes:
        number: of this call; all that is said in it carries the number, but for the log.
        place: where the handler is.
        payload: the task's, undecoded.
        most: bytes that the result may have.
        task_id: for the context, as all that follows.
        saved: the state that an earlier run has saved; null if none has.
        trace: what lines of the log say of the run's trace; empty if nothing traces it.
    """

    number: int
    place: Place
    payload: msgspec.Raw
    most: int
    task_id: str
    task_type: str
    queue: str
    worker_id: str
    attempt: int
    deadline: datetime
    saved: msgspec.Raw
    trace: dict[str, str] = {}


class SaveEnded(msgspec.Struct, tag=True, frozen=True):
    """What became of a save of the call.

    Attributes:
        number: of the call.
        lost: whether the task is no longer this run's.
        refused: why the server refuses it, or empty.
    """

    number: int
    lost: bool = False
    refused: str = ""


class LogLine(msgspec.Struct, tag=True, frozen=True):
    """The process has logged this, in a call or between two.

    Attributes:
        level: its name.
        severity: its number.
        text: the line, with the traceback of an exception.
        bound: what is bound to the line, such as the task's id.
        name: the module's name.
        function: the function's name.
        line: the number of the line of code.
    """

    level: str
    severity: int
    text: str
    bound: dict[str, str | int | float | bool | None]
    name: str
    function: str
    line: int


class Progressed(msgspec.Struct, tag=True, frozen=True):
    """How far the handler is."""

    number: int
    done: float
    total: float | None


class Saving(msgspec.Struct, tag=True, frozen=True):
    """The handler saves a state, and waits until it is kept."""

    number: int
    state: msgspec.Raw


class Returned(msgspec.Struct, tag=True, frozen=True):
    """The handler returned: the result's JSON."""

    number: int
    result: msgspec.Raw


class Rejecting(msgspec.Struct, tag=True, frozen=True):
    """The handler raised `Reject`."""

    number: int
    why: str


class Retrying(msgspec.Struct, tag=True, frozen=True):
    """The handler raised `Retry`."""

    number: int
    why: str
    after: float | None


class Raised(msgspec.Struct, tag=True, frozen=True):
    """The handler raised something else, or couldn't be called, or returned what isn't JSON."""

    number: int
    error: str
    error_type: str
    traceback: str


End = Returned | Rejecting | Retrying | Raised
"""How a call ends."""

ToProcess = Call | SaveEnded
ToWorker = LogLine | Progressed | Saving | End

_encoder: Final = msgspec.json.Encoder()
_to_process: Final[msgspec.json.Decoder[ToProcess]] = msgspec.json.Decoder(ToProcess)
_to_worker: Final[msgspec.json.Decoder[ToWorker]] = msgspec.json.Decoder(ToWorker)


def pack(message: ToProcess | ToWorker) -> bytes:
    """Return a message's frame.

    Raises:
        ValueError: it is longer than a frame can be.
    """
    body = _encoder.encode(message)
    if len(body) > LONGEST_FRAME:
        raise ValueError(f"a message has {len(body)} bytes, the most is {LONGEST_FRAME}")
    return HEADER.pack(len(body)) + body


def read_request(body: bytes) -> ToProcess:
    """Read what a worker says.

    Raises:
        ValueError: it is no such message.
    """
    return _to_process.decode(body)


def read_answer(body: bytes) -> ToWorker:
    """Read what a process says.

    Raises:
        ValueError: it is no such message.
    """
    return _to_worker.decode(body)


def readable(text: str) -> str:
    """Return a text that can be written: what is half of a character is spelt out."""
    return text.encode(errors="backslashreplace").decode()
