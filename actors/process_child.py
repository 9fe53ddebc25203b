"""The program of a handler process: calls handlers one after the other, as the worker asks.

It never outlives its worker, not even one that was killed: the kernel kills it with the thread
that started it, and a thread of its own ends it when the line closes. The first holds when C code
keeps the interpreter's lock, the second when the worker's process lives and has dropped the line.

Its end of the line is a socket of its own. What handlers print, and what C libraries write to the
standard output, goes to the standard error and can't be mistaken for a message.
"""

import contextlib
import ctypes
import faulthandler
import importlib
import importlib.util
import os
import signal
import socket
import sys
import traceback
from importlib.machinery import SourceFileLoader
from queue import SimpleQueue
from threading import Lock, Thread
from types import ModuleType
from typing import Any, Final

import msgspec

from actors.concealment import hider
from actors.context import Context
from actors.control import Reject, Retry
from actors.current import TaskName, current_task
from actors.failures import failure_of, shortened_traceback
from actors.handler import Handler
from actors.handlers import Handlers
from actors.notes import Notes
from actors.process_logs import print_lines, send_lines
from actors.process_notes import ProcessNotes, ProgressSender
from actors.process_wire import (
    HEADER,
    Call,
    End,
    Place,
    Raised,
    Rejecting,
    Retrying,
    Returned,
    SaveEnded,
    ToWorker,
    pack,
    read_request,
    readable,
)
from messages import UnencodableError, encode_value

_PR_SET_PDEATHSIG: Final = 1
_SCRIPT: Final = "__worker_main__"
"""The name here of the script that the worker was started as."""


def main() -> None:
    """Serve the worker that started this process until it is gone.

    The arguments are the number of the socket and the worker's process id.
    """
    line, worker = (int(argument) for argument in sys.argv[1:3])
    del sys.argv[1:]
    _die_with(worker)
    # Ctrl-C in a terminal is the worker's to decide about, even from one that a handler starts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _redirect_output()
    _Server(socket.socket(fileno=line)).serve()


def _die_with(worker: int) -> None:
    """Let the kernel kill this process when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A worker that died before that call sends no signal any more.
    if os.getppid() != worker:
        os._exit(1)


def _redirect_output() -> None:
    with contextlib.suppress(OSError):  # a worker without a standard error
        os.dup2(2, 1)
        faulthandler.enable()
    # It may end at any moment; what was printed until then is seen.
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


class _Server:
    """Reads calls, runs handlers, tells how they ended.

    Args:
        line: to the worker.
    """

    def __init__(self, line: socket.socket) -> None:
        # It must close with this process, whatever a handler leaves behind.
        line.set_inheritable(False)
        os.register_at_fork(after_in_child=self._detach)
        self._line = line
        self._detached = False
        self._sending = Lock()
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._handlers: dict[Place, Handler] = {}
        self._notes: ProcessNotes | None = None
        self._progress = ProgressSender(self._tell)

    def serve(self) -> None:
        """Run one handler after the other, in the main thread, as most C libraries like it."""
        Thread(target=self._listen, name="line to the worker", daemon=True).start()
        send_lines(self._tell)
        while True:
            call = self._calls.get()
            current_task.set(TaskName(call.task_id, call.task_type, call.attempt, call.trace))
            try:
                end = self._run(call)
            finally:
                current_task.set(None)
                with contextlib.suppress(Exception):  # a handler may have closed or replaced it
                    sys.stdout.flush()
            self._tell(end)

    def _listen(self) -> None:
        """Read what the worker says, also while a handler runs; end with the worker."""
        try:
            while True:
                (length,) = HEADER.unpack(self._receive(HEADER.size))
                message = read_request(self._receive(length))
                if not isinstance(message, SaveEnded):
                    self._calls.put(message)
                elif (notes := self._notes) is not None:
                    notes.answered(message)
        except (EOFError, OSError):
            pass
        except BaseException:  # noqa: BLE001 - a bug in this package; it mustn't end only a thread
            traceback.print_exc()
        finally:
            os._exit(1)

    def _receive(self, length: int) -> bytes:
        body = bytearray(length)
        rest = memoryview(body)
        while rest:
            received = self._line.recv_into(rest)
            if not received:
                raise EOFError
            rest = rest[received:]
        return bytes(body)

    def _detach(self) -> None:
        """Leave the line to this process alone, in one that a handler has forked."""
        self._detached = True
        self._line.close()
        print_lines()

    def _tell(self, message: ToWorker) -> None:
        if self._detached:
            raise RuntimeError("a process that a handler has forked can't speak for it")
        frame = pack(message)
        with self._sending:
            try:
                self._line.sendall(frame)
            except OSError:
                os._exit(1)

    def _run(self, call: Call) -> End:
        """Run a handler; whatever it raises is told, also what would end a program."""
        try:
            handler = self._find(call.place)
        except BaseException as error:  # noqa: BLE001 - a module of the user's may raise anything
            return _raised(
                call, error, f"handler {_named(call.place)} can't be loaded in a process: "
            )
        if not handler.takes_context:
            return _call(handler, call, Notes())
        self._notes = notes = ProcessNotes(
            state=bytes(call.saved), call=call.number, task_id=call.task_id, tell=self._tell
        )
        self._progress.begin(notes)
        try:
            return _call(handler, call, notes)
        finally:
            self._progress.end()
            notes.close()

    def _find(self, place: Place) -> Handler:
        handler = self._handlers.get(place)
        if handler is None:
            found = getattr(_load(place), place.function)
            registry = Handlers()
            registry.on("any", run_in="process")(found)
            handler = self._handlers[place] = registry["any"]
        return handler


def _load(place: Place) -> ModuleType:
    """Import the module of a handler, or run the script that it is in under another name."""
    if place.path is None:
        return importlib.import_module(place.module)
    loaded = sys.modules.get(_SCRIPT)
    if loaded is not None:
        return loaded
    loader = SourceFileLoader(_SCRIPT, place.path)
    spec = importlib.util.spec_from_loader(_SCRIPT, loader)
    if spec is None:
        raise ImportError(f"{place.path} can't be run")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_SCRIPT] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[_SCRIPT]
        raise
    return module


def _call(handler: Handler, call: Call, notes: Notes) -> End:
    try:
        payload = handler.read(msgspec.json.decode(call.payload, type=dict[str, Any]))
        value = handler.function(*handler.arguments(payload, _context(call, notes)))
    except Reject as verdict:
        return Rejecting(call.number, readable(str(verdict.why)))
    except Retry as wish:
        after = None if wish.after is None else float(wish.after)
        return Retrying(call.number, readable(str(wish.why)), after)
    except BaseException as error:  # noqa: BLE001 - as in a thread, `SystemExit` is a failure
        return _raised(call, error)
    return _written(call, value)


def _written(call: Call, value: object) -> Returned | Raised:
    """Write what the handler returned, if it can be written."""
    try:
        result = encode_value(value)
    except UnencodableError as error:
        return Raised(call.number, readable(str(error)), type(error).__name__, "")
    if len(result) > call.most:
        why = f"the handler's result has {len(result)} bytes, the most is {call.most}"
        return Raised(call.number, why, "ResultTooLarge", "")
    return Returned(call.number, msgspec.Raw(result))


def _context(call: Call, notes: Notes) -> Context:
    return Context(
        notes=notes,
        task_id=call.task_id,
        task_type=call.task_type,
        queue=call.queue,
        worker_id=call.worker_id,
        attempt=call.attempt,
        deadline=call.deadline,
    )


def _raised(call: Call, error: BaseException, before: str = "") -> Raised:
    """Describe what was raised."""
    hide = hider(call.payload)
    failure = failure_of(error)
    text = f"{before}{failure.error_type}: {failure.error}" if before else failure.error
    # It is shortened here, so what is secret goes here: half a secret isn't recognised later.
    where = shortened_traceback(failure, hide)
    return Raised(call.number, readable(hide(text)), readable(failure.error_type), readable(where))


def _named(place: Place) -> str:
    return f"{place.path or place.module}:{place.function}"
