"""Logs and traces of real workers in processes of their own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from runtime.traces.sender import Sender
from tests.cli.commands import Queue, Worker, run
from tests.otlp import Receiver, otlp_receiver
from tests.servers import free_port

SERVES = ("--handlers", "tests.traced_handlers:handlers")
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as found:
        yield found


def push(queue: Queue, task_id: str, task_type: str, **fields: Any) -> None:
    """Push a task with fields of its own, as a producer in another language does."""
    body = {"id": task_id, "type": task_type, "payload": fields.pop("payload", {})}
    created = {"created_at": "2024-02-17T10:30:00Z"}
    queue.client.rpush(queue.name, json.dumps(body | created | fields))


def lines_of(log: str) -> list[dict[str, Any]]:
    """Return the lines of a JSON log."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def test_every_line_of_a_task_says_which(tmp_path: Path, redis_url: str) -> None:
    """What loguru and logging say in a handler carries id, type and attempt, each line once.

    On the loop, in a thread and in a process. Arguments that don't fit fail no handler.
    """
    types = ("speak", "speak.thread", "speak.process", "speak.badly")
    with Queue(redis_url) as queue:
        for task_type in types:
            push(queue, f"id of {task_type}", task_type)
        with Worker(
            tmp_path, *SERVES, "--burst", "--log-format", "json", REDIS_URL=redis_url
        ) as it:
            assert it.end() == 0, it.log()
        assert all(queue.answered(f"id of {one}")["success"] for one in types)
    lines = lines_of(it.log())
    for task_type in types[:3]:
        spoken = [line for line in lines if line.get("task_type") == task_type]
        said = [line["message"].split()[0] for line in spoken]
        assert said == ["Processing", "loguru", "logging", "Task"], it.log()
        assert {(line["task_id"], line["attempt"]) for line in spoken} == {
            (f"id of {task_type}", 1)
        }
        assert [line["level"] for line in spoken] == ["info", "info", "warning", "info"]
    assert "trace_id" not in it.log()


def test_a_task_that_came_without_a_trace_begins_one(
    tmp_path: Path, redis_url: str, receiver: Receiver
) -> None:
    """A task from `redis-cli` is a trace of its own, in which its second attempt is, too.

    A line of text says the task's type and attempt, its trace, and its id once.
    """
    with Queue(redis_url) as queue:
        push(queue, "the-task", "speak", payload={"fails": True}, traceparent="no context")
        variables = {"REDIS_URL": redis_url}
        with Worker(tmp_path, *SERVES, "--traces", receiver.url, **variables).ready() as worker:
            assert queue.answered("the-task")["attempt"] == 2
            assert worker.stop() == 0, worker.log()
    first, second = sorted(receiver.named("process"), key=lambda span: span.attempt or 0)
    assert (first.parent, first.error) == ("", "at first")
    assert (second.parent, second.links) == (first.span_id, (first.span_id,))
    assert {span.trace_id for span in receiver.spans} == {first.trace_id}
    waits = sorted(receiver.named("wait"), key=lambda span: span.attempt or 0)
    assert [span.parent for span in waits] == [first.span_id, first.span_id]
    assert receiver.paths[0] == "/v1/traces"
    log = worker.log()
    assert f"speak#1 the-task trace={first.trace_id} loguru on the loop" in log
    assert f"speak#2 the-task trace={first.trace_id} logging on the loop" in log
    assert f"speak#2 trace={first.trace_id} Task the-task completed" in log
    assert first.attributes == {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue.name,
        "messaging.message.id": "the-task",
        "messaging.message.body.size": first.attributes["messaging.message.body.size"],
        "messaging.client.id": first.attributes["messaging.client.id"],
        "brain.task.type": "speak",
        "brain.task.attempt": 1,
        "brain.task.outcome": "retried",
        "error.type": "ValueError",
    }


def test_every_line_about_a_traced_task_says_its_trace(
    tmp_path: Path, redis_url: str, receiver: Receiver
) -> None:
    """Also what is logged in another process, and a dead letter after its run.

    Within a run the span's id stands beside it.
    """
    with Queue(redis_url) as queue:
        push(queue, "elsewhere", "speak.process", traceparent=SAMPLED)
        push(queue, "unheard-of", "unheard-of")
        arguments = (*SERVES, "--burst", "--log-format", "json", "--traces", receiver.url)
        with Worker(tmp_path, *arguments, REDIS_URL=redis_url) as worker:
            assert worker.end() == 0, worker.log()
    runs = {span.attributes["messaging.message.id"]: span for span in receiver.named("process")}
    about = [line for line in lines_of(worker.log()) if "task_id" in line]
    assert [line["message"].split()[0] for line in about if line["task_id"] == "elsewhere"] == [
        *("Processing", "loguru", "logging", "Task")
    ]
    assert any(line["message"].startswith("Dead letter") for line in about)
    for line in about:
        run = runs[line["task_id"]]
        assert line["trace_id"] == run.trace_id, line
        assert line.get("span_id", run.span_id) == run.span_id, line
    assert runs["elsewhere"].trace_id == TRACE
    assert all("span_id" in line for line in about if line["task_id"] == "elsewhere")


def test_no_exported_byte_holds_a_secret(
    tmp_path: Path, redis_url: str, receiver: Receiver
) -> None:
    """Texts of errors, stack traces, statements, URLs and names of spans lose what is secret.

    Secrets of the payload, whatever library wrote them; logins and keys in URLs; the cookie of a
    header; in the task's own spans, and in those of HTTP, SQL and of the handler. What surrounds
    them stays.
    """
    port = receiver.url.rpartition(":")[2]
    payload = {
        "password": "hunter2-of-payload",
        "url": f"http://user:hunter2-of-url@127.0.0.1:{port}",
        "nowhere": f"http://user:hunter2-of-url@127.0.0.1:{free_port()}",
        "dsn": f"postgresql+asyncpg://user:hunter2-of-dsn@127.0.0.1:{free_port()}/name",
    }
    with Queue(redis_url) as queue:
        push(queue, "t", "spill", payload=payload)
        arguments = (*SERVES, "--traces", receiver.url)
        with Worker(tmp_path, *arguments, REDIS_URL=redis_url).ready() as worker:
            assert not queue.answered("t")["success"]
            assert worker.stop() == 0, worker.log()
    sent = b"".join(receiver.bodies)
    for secret in (b"hunter2", b"0pen-sesame", b"c00kie"):
        assert secret not in sent, sent[max(0, sent.find(secret) - 200) :][:300]
    runs = receiver.named("process")
    assert [run.error for run in runs] == [f"no login with *** at http://***@127.0.0.1:{port}"] * 2
    assert runs[0].attributes["said"] == "as ***"
    (by, _) = receiver.named("by")
    assert by.name == "by ***"
    assert by.error == f"ValueError: {runs[0].error}"
    assert by.attributes["header.cookie"] == "***"
    assert b"Traceback (most recent call last)" in sent
    (post, _) = receiver.named("POST")
    assert post.attributes["http.url"] == f"http://***@127.0.0.1:{port}/***?api_key=***"
    statements = {span.attributes["db.statement"] for span in receiver.named("SELECT")}
    assert statements == {"SELECT '***'", "SELECT '***' FROM ***"}
    assert [span.attributes["db.user"] for span in receiver.named("connect") if span.error] == [
        "user"
    ] * 2


def test_the_producers_sampling_is_respected(
    tmp_path: Path, redis_url: str, receiver: Receiver
) -> None:
    """A task whose producer doesn't sample it makes no span, one that is sampled does.

    The lines of the log carry the trace's id either way.
    """
    with Queue(redis_url) as queue:
        push(queue, "unsampled", "speak", traceparent=UNSAMPLED, payload={"fails": True})
        push(queue, "sampled", "speak", traceparent=SAMPLED, tracestate="a=b")
        variables = {"REDIS_URL": redis_url, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        arguments = (*SERVES, "--log-format", "json")
        with Worker(tmp_path, *arguments, **variables).ready() as worker:
            assert queue.answered("unsampled")["attempt"] == 2
            queue.answered("sampled")
            assert worker.stop() == 0, worker.log()
    assert {span.attributes["messaging.message.id"] for span in receiver.spans} == {"sampled"}
    spoken = [line for line in lines_of(worker.log()) if "loguru" in line["message"]]
    assert [line["trace_id"] for line in spoken] == [TRACE] * 3


def test_a_collector_that_is_away_costs_nothing_but_spans(tmp_path: Path, redis_url: str) -> None:
    """With nobody at the address, tasks are answered and the worker ends with 0."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Queue(redis_url) as queue:
        push(queue, "t", "speak")
        with Worker(tmp_path, *SERVES, "--traces", nowhere, REDIS_URL=redis_url).ready() as worker:
            assert queue.answered("t")["success"]
            assert worker.stop() == 0, worker.log()


def test_failures_to_send_are_said_rarely(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The 1st, 2nd, 4th, 8th … failure to send spans is said, counted anew after a success."""
    sender = Sender(receiver.url)
    receiver.refuses = True
    for _ in range(9):
        assert sender.export([]) is SpanExportResult.FAILURE
    assert len(caplog.records) == 4
    receiver.refuses = False
    assert sender.export([]) is SpanExportResult.SUCCESS
    receiver.refuses = True
    sender.export([])
    assert len(caplog.records) == 5
    sender.shutdown()


def test_an_address_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    """`--traces` with no URL ends with exit code 2 and one sentence, for a worker and a push."""
    url = f"redis://127.0.0.1:{free_port()}"
    for words in (SERVES, ("push", "speak", "{}")):
        ended = run(tmp_path, *words, "--traces", "localhost", "--redis-url", url)
        assert ended.returncode == 2
        assert ended.stderr.startswith("--traces is no URL with http:// or https:// and a host")
        assert "Traceback" not in ended.stderr
