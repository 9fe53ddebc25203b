"""Recurring tasks as they are declared, and where a worker fires them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from actors import HandlerError, Handlers, Worker, WorkerSettings
from actors.recurrences import Recurrence
from actors.scheduler import recurring_on
from actors.schedules import Cron, Interval
from messages import decode_task
from runtime.cli.handler_modules import merge
from runtime.memory import MemoryBroker
from tests.actors.stage import Q, Stage, until
from tests.actors.test_schedules import at

NOON = datetime(2026, 2, 17, 12, tzinfo=UTC)


async def check(_: dict[str, Any]) -> None:
    """Handle nothing."""


def registry(queue: str | None = "q", *types: str) -> Handlers:
    """Return a registry with handlers for some types."""
    handlers = Handlers(queue=queue)
    for task_type in types:
        handlers.on(task_type)(check)
    return handlers


def only(handlers: Handlers) -> Recurrence:
    (recurrence,) = handlers.recurrences
    return recurrence


def test_what_was_declared_is_there() -> None:
    """A recurring task is found with what was said of it; its name is its type's by default."""
    handlers = registry()
    handlers.every("30s", "check", {"cluster_id": "demo"}, queue="p", timeout=5)
    handlers.every("0 3 * * *", "check", name="nightly", max_attempts=1, expires_in=60)

    first, second = handlers.recurrences
    assert (first.name, first.task_type, first.schedule) == ("check", "check", Interval(30_000))
    assert (first.queue, first.timeout, first.payload) == ("p", 5, {"cluster_id": "demo"})
    assert (second.name, second.schedule) == ("nightly", Cron("0 3 * * *", UTC))


def test_a_task_is_like_a_pushed_one() -> None:
    """Its body has the contract's fields, its own terms, and an id that tells name and due time."""
    handlers = registry()
    handlers.every("30s", "check", {"n": 1}, name="a b", timeout=5, max_attempts=2, expires_in=60)

    recurrence = only(handlers)
    task = decode_task(recurrence.body(at("2026-02-17T11:59:30Z"), NOON))
    assert (task.id, task.type) == ("a b@20260217T115930Z", "check")
    assert msgspec.json.decode(task.payload) == {"n": 1}
    assert (task.created_at, task.timeout, task.max_attempts) == (NOON, 5, 2)
    assert task.expires_at == datetime(2026, 2, 17, 12, 1, tzinfo=UTC)
    assert recurrence.task_id(1_500) == "a b@19700101T000001.500Z"


def test_a_payload_that_is_changed_later_changes_no_task() -> None:
    """What was declared is what is pushed."""
    handlers, payload = registry(), {"clusters": ["a"]}
    handlers.every("30s", "check", payload)
    payload["clusters"].append("b")

    assert only(handlers).payload == {"clusters": ["a"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"when": "soon"}, "recurring task 'check' is due every 'soon', expected '30s'"),
        ({"when": "0 3 * * *", "timezone": "Mars"}, "has timezone='Mars', which this machine"),
        ({"payload": {"a": {1, 2}}}, "makes no task: the payload isn't JSON"),
        ({"payload": [1]}, "makes no task: the payload isn't JSON: it is a list, not an object"),
        ({"task_type": ""}, "makes no task: field `type` is"),
        ({"task_type": 7}, "makes no task: the task's type isn't JSON: it is a int, not text"),
        ({"timeout": 0}, "makes no task: field `timeout` is"),
        ({"timeout": "soon"}, "makes no task: field `timeout` is"),
        ({"max_attempts": 0}, "makes no task: field `max_attempts` is"),
        ({"expires_in": 0}, "has expires_in=0; it must be above 0 s and at most a year"),
        ({"expires_in": "1m"}, "has expires_in='1m'; it must be above 0 s"),
        ({"name": ""}, "recurring task '' has the name '', expected a text of 1 to 200"),
        ({"name": "a\nb"}, "expected a text of 1 to 200 printable characters"),
        ({"name": "n" * 201}, "expected a text of 1 to 200 printable characters"),
        ({"name": 3}, "has the name 3, expected a text"),
    ],
)
def test_what_can_not_recur_is_refused(words: dict[str, Any], says: str) -> None:
    """An error at import names the task, what came and what was expected."""
    with pytest.raises(HandlerError) as refusal:
        registry().every(**({"when": "30s", "task_type": "check"} | words))
    assert says in str(refusal.value)


def test_a_name_is_given_once() -> None:
    """Two recurring tasks of a name would be one; the second is refused."""
    handlers = registry()
    handlers.every("30s", "check")
    with pytest.raises(HandlerError, match="'check' is there already; give each one a name"):
        handlers.every("1h", "check")


def test_registries_that_are_put_together_keep_what_recurs() -> None:
    """`include` and the command line's `--handlers` carry recurring tasks along."""
    ours, theirs = registry("q", "check"), registry("p", "other")
    ours.every("30s", "check")
    theirs.every("1h", "check", name="hourly")

    merged = merge([ours, theirs])
    assert [recurrence.name for recurrence in merged.recurrences] == ["check", "hourly"]
    assert set(merged) == {"check", "other"}
    with pytest.raises(HandlerError, match="'check' is there already"):
        merged.include(ours)


def test_handlers_alone_can_be_included() -> None:
    """A part of a registry's handlers is added without what recurs."""
    ours, theirs = registry(), registry("q", "check")
    theirs.every("30s", "check")
    ours.include(theirs.values())

    assert (set(ours), ours.recurrences) == ({"check"}, ())


@pytest.mark.parametrize(
    ("said", "handlers", "goes_to"),
    [
        ("own", registry("p", "check"), "own"),
        (None, registry("p", "check"), "p"),
        (None, registry("p"), "q"),
    ],
)
def test_where_a_task_goes(said: str | None, handlers: Handlers, goes_to: str) -> None:
    """To its own queue, else its handler's, else its registry's."""
    ours = registry("q")
    ours.every("30s", "check", queue=said)
    merged = merge([ours, handlers])
    if "check" not in merged:
        merged.on("check")(check)

    found = recurring_on(merged, ["own", "p", "q"], 1_000)
    assert {queue: [one.name for one in those] for queue, those in found.items()} == {
        goes_to: ["check"]
    }


def test_a_worker_fires_on_the_queues_that_it_serves() -> None:
    """What goes elsewhere is for other workers, who have handlers for it."""
    handlers = registry("q", "check")
    handlers.every("30s", "check", queue="elsewhere")
    handlers.every("30s", "unknown", queue="elsewhere")

    assert recurring_on(handlers, ["q"], 1_000) == {}
    assert recurring_on(dict(handlers), ["elsewhere"], 1_000) == {}


def test_a_worker_refuses_what_it_could_not_run() -> None:
    """A task without a handler, without a queue or too large would only fill the dead letters."""
    unknown, nowhere, large = registry("q", "check"), registry(None, "check"), registry("q", "c")
    unknown.every("30s", "unknown")
    nowhere.every("30s", "check")
    large.every("30s", "c", {"text": "x" * 900})

    def worker(handlers: Handlers, **settings: Any) -> Worker:
        return Worker(MemoryBroker(), handlers, ["q"], settings=WorkerSettings(**settings))

    with pytest.raises(HandlerError, match="of the type 'unknown', for which this worker has no"):
        worker(unknown)
    with pytest.raises(HandlerError, match="goes to no queue; say which with queue="):
        worker(nowhere)
    with pytest.raises(HandlerError, match=r"is 1\d+ bytes long, more than the worker's 1000"):
        worker(large, max_task_bytes=1_000)
    worker(large)


@pytest.mark.anyio
async def test_a_worker_fires_on_any_loop(stage: Stage) -> None:
    """On asyncio and on trio a worker pushes what recurs, and runs it as any other task."""
    stage.handlers.every("1s", "nap", {"n": 1})
    async with stage.working([Q]):
        await until(lambda: len(stage.answered()) == 2, "two are answered")
    assert len(set(stage.answered())) == 2
