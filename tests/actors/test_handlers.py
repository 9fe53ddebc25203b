import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from attrs import frozen

from actors import Backoff, Context, HandlerError, Handlers


@frozen
class Resize:
    image: str


async def plain(payload: Resize) -> None:
    """Take a payload alone."""


async def both(payload: Resize, context: Context) -> None:
    """Take a payload and a context."""


def threaded(payload: dict[str, Any]) -> None:
    """Run in a thread."""


async def optional(payload: Resize, context: Context | None = None) -> None:
    """Take a context if there is one."""


async def defaulted(payload: Resize, scale: int = 2) -> None:
    """Have a parameter of its own."""


def test_a_handler_is_found_by_its_type() -> None:
    """A registered function is found under its type, with what was said of it."""
    handlers = Handlers(queue="q")
    retry = Backoff(attempts=5)

    assert handlers.on("image.resize", timeout=60, retry=retry)(both) is both

    handler = handlers["image.resize"]
    assert (handler.function, handler.task_type) == (both, "image.resize")
    assert (handler.queue, handler.timeout, handler.retry) == ("q", 60, retry)
    assert handler.name.endswith("test_handlers.both")
    assert (list(handlers), len(handlers), "other" in handlers) == (["image.resize"], 1, False)


@pytest.mark.parametrize(
    ("function", "threaded_", "takes_context"),
    [
        (plain, False, False),
        (both, False, True),
        (threaded, True, False),
        (optional, False, True),
        (defaulted, False, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_signature_says_how_it_is_called(
    function: Callable[..., Any],
    threaded_: bool,  # noqa: FBT001 - a parameter of the test
    takes_context: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """`def` means a thread; a second parameter that is needed, or is the context, gets it."""
    handlers = Handlers()
    handlers.on("t")(function)

    assert handlers["t"].threaded == threaded_
    assert handlers["t"].takes_context == takes_context


def test_a_def_runs_where_it_was_said() -> None:
    """A `def` runs in a thread unless it is to run in a process; an `async def` on the loop."""
    handlers = Handlers()
    handlers.on("default")(threaded)
    handlers.on("thread", run_in="thread")(threaded)
    handlers.on("process", run_in="process")(threaded)
    handlers.on("loop", run_in="loop")(plain)

    places = {name: (handler.threaded, handler.in_process) for name, handler in handlers.items()}
    assert places == {
        "default": (True, False),
        "thread": (True, False),
        "process": (False, True),
        "loop": (False, False),
    }


def _closure() -> Callable[..., Any]:
    def inner(payload: dict[str, Any]) -> None:
        """Be defined in a function."""

    return inner


class Service:
    """Have methods that would do for a thread."""

    def method(self, payload: dict[str, Any]) -> None:
        """Need an object."""

    @staticmethod
    def static(payload: dict[str, Any]) -> None:
        """Be defined in a class."""


_BY_NAME = (
    "can't run in a process, which finds it by name; define it with `def` at the top level of a "
    "module"
)


@pytest.mark.parametrize(
    ("function", "run_in", "words"),
    [
        (lambda payload: payload, "process", f"test_handlers.<lambda> {_BY_NAME}"),
        (_closure(), "process", f"test_handlers._closure.<locals>.inner {_BY_NAME}"),
        (Service().method, "process", f"test_handlers.Service.method {_BY_NAME}"),
        (Service.static, "process", f"test_handlers.Service.static {_BY_NAME}"),
        (plain, "process", "test_handlers.plain has run_in='process'; an `async def` runs in"),
        (plain, "thread", "test_handlers.plain has run_in='thread'; an `async def` runs in"),
        (threaded, "loop", "test_handlers.threaded has run_in='loop'; an `async def` runs in"),
        (threaded, "fork", "test_handlers.threaded has run_in='fork'; it must be 'loop', 'thread'"),
    ],
    ids=["lambda", "closure", "method", "static", "async", "async thread", "def loop", "unknown"],
)
def test_a_place_that_does_not_fit_is_refused_by_name(
    function: Callable[..., Any], run_in: Any, words: str
) -> None:
    """A function that can't run where it was said is an error at registration that names it."""
    handlers = Handlers()

    with pytest.raises(HandlerError, match=r"^handler ") as caught:
        handlers.on("t", run_in=run_in)(function)

    assert words in str(caught.value)
    assert len(handlers) == 0


def test_retries_are_those_of_the_registry_unless_a_handler_says_otherwise() -> None:
    """A registry has a policy for all of its handlers; without one, none is said."""
    mine, ours = Backoff(attempts=1), Backoff(attempts=9)
    handlers = Handlers(retry=ours)
    handlers.on("1")(plain)
    handlers.on("2", retry=mine)(plain)
    without = Handlers()
    without.on("1")(plain)

    assert (handlers["1"].retry, handlers["2"].retry) == (ours, mine)
    assert without["1"].retry is None


def test_queues_are_those_that_handlers_name() -> None:
    """A worker without queues of its own serves those of its handlers, each once."""
    handlers = Handlers(queue="a")
    handlers.on("1")(plain)
    handlers.on("2", queue="b")(plain)
    handlers.on("3")(plain)

    assert handlers.queues == ("a", "b")
    assert Handlers().queues == ()


def test_registries_are_joined() -> None:
    """Handlers of another registry can be included, and keep their queues."""
    ours, theirs = Handlers(queue="a"), Handlers(queue="b")
    theirs.on("1")(plain)

    ours.include(theirs.values())

    assert ours["1"].queue == "b"


def unannotated(payload) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - the case
    """Say nothing of the payload."""


def nothing() -> None:
    """Take nothing."""


def too_many(a: dict[str, Any], b: Context, c: int) -> None:
    """Take more than there is."""


def keyword(payload: dict[str, Any], *, needed: int) -> None:
    """Need what nobody gives."""


def number(payload: int) -> None:
    """Take what no JSON object is."""


def generator(payload: dict[str, Any]) -> Iterator[object]:
    """Yield."""
    yield payload


async def stream(payload: dict[str, Any]) -> AsyncIterator[object]:
    """Yield."""
    yield payload


def misspelt(payload: "Resise") -> None:  # type: ignore[name-defined]  # noqa: F821 - the case
    """Name a class that isn't there."""


class Callable_:  # noqa: N801 - beside typing's
    """Be called like a function."""

    def __call__(self, payload: dict[str, Any]) -> None:
        """Run."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (unannotated, "unannotated doesn't say what its payload is"),
        (nothing, "nothing takes () -> None; a handler takes (payload) or (payload, context)"),
        (too_many, "too_many takes (a: dict"),
        (keyword, "keyword takes (payload: dict"),
        (number, "number takes a payload of type <class 'int'>"),
        (generator, "generator is a generator"),
        (stream, "stream is a generator"),
        (misspelt, "misspelt has an annotation that can't be read"),
        (Callable_(), "isn't a function"),
        (functools.partial(threaded), "isn't a function"),
        (Resize, "isn't a function"),
        (print, "isn't a function"),
        (7, "isn't a function"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_a_handler_is_refused_by_name(
    function: Callable[..., Any], words: str
) -> None:
    """An unusable function is an error at registration, which names it and says what to change."""
    handlers = Handlers()

    with pytest.raises(HandlerError) as caught:
        handlers.on("t")(function)

    assert words in str(caught.value)
    assert str(caught.value).startswith("handler ")
    assert len(handlers) == 0


@pytest.mark.parametrize(
    ("task_type", "options", "words"),
    [
        ("", {}, "test_handlers.plain is for an empty type"),
        (
            "t",
            {"timeout": 0},
            "test_handlers.plain has timeout=0; it must be above 0 s and at most a year",
        ),
        ("t", {"timeout": float("nan")}, "test_handlers.plain has timeout=nan"),
    ],
)
def test_wrong_options_are_refused_by_name(
    task_type: str, options: dict[str, Any], words: str
) -> None:
    """A wrong type or time-out is an error at registration, which names the function."""
    with pytest.raises(HandlerError, match="handler ") as caught:
        Handlers().on(task_type, **options)(plain)

    assert words in str(caught.value)


def test_a_type_has_one_handler() -> None:
    """A second handler of a type is an error that names both, and the first one stays."""
    handlers = Handlers()
    handlers.on("t")(plain)

    with pytest.raises(HandlerError) as caught:
        handlers.on("t")(both)

    assert "test_handlers.both is for type 't', which" in str(caught.value)
    assert "test_handlers.plain already handles" in str(caught.value)
    assert handlers["t"].function is plain
    with pytest.raises(HandlerError):
        handlers.include([handlers["t"]])
