"""What goes wrong with Ollama, in one sentence each, and what httpx's errors mean."""

import errno
from typing import Final

import httpx

from runtime.brain.errors import BrainError

CONNECT_TIMEOUT_S: Final = 5.0
_ERROR_CHARACTERS: Final = 300


class OllamaError(BrainError):
    """Ollama couldn't be asked, or its answer didn't come to its end: it may work later.

    Attributes:
        address: Where it was looked for.
        problem: What happened there.
    """

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(
            f"Ollama at {address} {problem}; check OLLAMA_HOST and whether Ollama runs there."
        )
        self.address = address
        self.problem = problem


class OllamaRefusedError(BrainError):
    """Ollama won't do what was asked, now or later.

    Attributes:
        why: Its own words.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"Ollama refuses the request: {why}.")
        self.why = why


class ModelMissingError(BrainError):
    """The server doesn't have the model.

    Attributes:
        model: Its name.
        address: The server.
    """

    def __init__(self, model: str, address: str) -> None:
        super().__init__(
            f"Ollama at {address} has no model {model!r}; run `ollama pull {model}` there, "
            "or name another model."
        )
        self.model = model
        self.address = address


def problem(error: Exception, silence: float) -> str:
    """Say what an error of httpx means; `silence` is the time-out that was set, in seconds."""
    match error:
        case httpx.ConnectTimeout():
            return f"takes no connection within {CONNECT_TIMEOUT_S:g} s"
        case httpx.TimeoutException():
            return f"was silent for {silence:g} s"
        case httpx.ConnectError() if _refused(error):
            return "refuses the connection"
        case httpx.ConnectError():
            return f"can't be reached: {shortened(str(error))}"
        case httpx.RemoteProtocolError() | httpx.ReadError():
            return "broke off in the middle of its answer"
        case _:
            return f"can't be used: {shortened(str(error) or type(error).__name__)}"


def _refused(error: BaseException | None) -> bool:
    """Say whether a connection was refused; anyio puts attempts at several addresses in a group."""
    match error:
        case None:
            return False
        case OSError(errno=errno.ECONNREFUSED):
            return True
        case BaseExceptionGroup():
            return all(_refused(one) for one in error.exceptions)
        case _:
            return _refused(error.__cause__ or error.__context__)


def shortened(text: str) -> str:
    """Return the beginning of somebody else's words, as part of a sentence."""
    return " ".join(text.split())[:_ERROR_CHARACTERS].rstrip(".")
