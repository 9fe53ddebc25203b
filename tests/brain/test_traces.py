"""One trace of a real task: real worker, Valkey, PostgreSQL, and an Ollama that speaks HTTP."""

import json
from pathlib import Path

import pytest
from anyio import to_thread

from tests.brain.conftest import World
from tests.cli.commands import Queue, Worker, run
from tests.ollama import ollama_stand_in
from tests.otlp import Received, Receiver, otlp_receiver, tree

pytestmark = pytest.mark.anyio
MISSIONS = "brain:mission_tasks"


def below(span: Received, spans: list[Received]) -> list[Received]:
    """Return the spans that were begun within a span, at any depth."""
    found = [one for one in spans if one.parent == span.span_id]
    return [*found, *(deeper for one in found for deeper in below(one, spans))]


async def test_one_trace_tells_the_whole_way_of_a_task(
    tmp_path: Path, redis_url: str, database_url: str, world: World
) -> None:
    """A chat whose first attempt fails is one trace: push, waits, both runs, their SQL and HTTP.

    The second run links to the first, and the lines of the log carry the trace's id.
    """
    await world.cluster()
    await world.agent("worker-1")
    async with ollama_stand_in() as ollama:
        ollama.break_off = 1
        with otlp_receiver() as receiver:
            variables = {
                "REDIS_URL": redis_url,
                "DATABASE_URL": database_url,
                "OLLAMA_HOST": ollama.url,
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            }
            task_id, log = await to_thread.run_sync(_chat, tmp_path, variables)
            _is_whole(receiver, task_id, log)


def _chat(directory: Path, variables: dict[str, str]) -> tuple[str, str]:
    """Push a chat, let a worker run it, and return its id and the worker's log."""
    with Queue(variables["REDIS_URL"], MISSIONS) as queue:
        payload = json.dumps({"message": "Hi", "agent_id": "worker-1"})
        arguments = ("push", "agent.chat", payload, "--queue", MISSIONS)
        pushed = run(directory, *arguments, **variables)
        assert pushed.returncode == 0, pushed.stderr
        task_id = pushed.stdout.strip()
        json_log = ("--handlers", "brain", "--log-format", "json")
        with Worker(directory, *json_log, **variables).ready() as worker:
            assert queue.answered(task_id)["attempt"] == 2
            assert worker.stop() == 0, worker.log()
            return task_id, worker.log()


def _is_whole(receiver: Receiver, task_id: str, log: str) -> None:
    spans = receiver.of_task(task_id)
    print(tree(spans))  # noqa: T201 - `pytest -s` shows it
    (send,) = (span for span in spans if span.kind == "producer")
    assert (send.name, send.parent, send.service) == (f"send {MISSIONS}", "", "brain-producer")
    waits = [span for span in spans if span.name == f"wait {MISSIONS}"]
    runs = [span for span in spans if span.kind == "consumer"]
    assert [span.attempt for span in waits] == [span.attempt for span in runs] == [1, 2]
    assert {span.parent for span in (*waits, *runs)} == {send.span_id}
    # Nor is there another trace: what the worker asks its database between tasks begins none.
    assert {span.trace_id for span in receiver.spans} == {send.trace_id}
    assert all(wait.end <= one.start for wait, one in zip(waits, runs, strict=True))
    assert waits[1].start >= waits[0].end
    first, second = runs
    assert first.error is not None
    assert "broke off" in first.error
    assert second.error is None
    assert (first.links, second.links) == ((), (first.span_id,))
    for one in runs:
        calls = {span.name.split()[0]: span for span in below(one, spans)}
        assert {"SELECT", "POST"} <= set(calls)
        assert calls["POST"].attributes.keys() & {"http.url", "url.full"}
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ours = [line for line in lines if line.get("task_id") == task_id]
    within = [line for line in ours if "trace_id" in line]
    assert {line["trace_id"] for line in within} == {send.trace_id}
    assert {line["attempt"] for line in within} == {1, 2}
    assert within == ours
