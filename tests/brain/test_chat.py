"""`agent.chat` against a stand-in for Ollama: what is asked, what is answered, what is refused."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from actors import Reject, Surroundings, Worker
from runtime.brain.chat import agent_chat, checked
from runtime.brain.handlers import brain_handlers
from runtime.brain.ollama_errors import OllamaError
from runtime.brain.payloads import AgentChat, Turn
from runtime.brain.services import Services
from runtime.brain.tables import Cluster, ClusterAgent
from runtime.memory import MemoryBroker
from runtime.redis import keys
from tests.brain.conftest import STORED_NOW, World
from tests.brain.orders import refusal, team
from tests.brain.talks import chat, context, reaching
from tests.ollama import OllamaStandIn, ollama_stand_in
from tests.polling import eventually_async
from tests.servers import free_port

pytestmark = pytest.mark.anyio

NOT_ASKED = {"used": False, "recalled": 0, "remembered": False, "why": "it wasn't asked for"}


@pytest.fixture
async def ollama() -> AsyncIterator[OllamaStandIn]:
    async with ollama_stand_in() as server:
        yield server


@pytest.fixture
async def talking(services: Services, ollama: OllamaStandIn) -> AsyncIterator[Services]:
    async with reaching(services, ollama.url) as reached:
        yield reached


async def test_a_plain_assistant_replies(talking: Services, ollama: OllamaStandIn) -> None:
    """Without an agent, the answer holds the streamed reply, the model and Ollama's figures."""
    answer = await chat(talking, "Hello")
    assert (
        json.loads(json.dumps(answer))
        == answer
        == {
            "reply": "Good morning!",
            "agent_id": None,
            "model": "qwen2.5:0.5b",
            "done_reason": "stop",
            "prompt_eval_count": 26,
            "eval_count": 298,
            "durations_ms": {
                "total": 5191.566,
                "load": 2.154,
                "prompt_eval": 383.809,
                "eval": 4799.921,
            },
            "memory": NOT_ASKED,
        }
    )
    assert ollama.chats() == [
        {
            "model": "qwen2.5:0.5b",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Hello"},
            ],
            "options": {},
            "stream": True,
        }
    ]


@pytest.mark.parametrize("named_by", ["id", "agent_id"])
async def test_an_agent_speaks_for_itself(
    talking: Services, ollama: OllamaStandIn, world: World, named_by: str
) -> None:
    """Found by either id, the agent's role, name, capabilities and skills make the prompt."""
    await team(world, name="Marketing")
    details = {"capabilities": ["copywriting", "seo"], "skills": ["irony"]}
    await world.agent("w", supervisor_id="boss", config={"name": "Ada"}, **details)
    await world.change(ClusterAgent, "w", agent_id="worker-1", last_active=None)
    answer = await chat(talking, agent_id={"id": "w", "agent_id": "worker-1"}[named_by])
    assert answer["agent_id"] == "worker-1"
    system = ollama.chats()[0]["messages"][0]["content"]
    assert "You are Ada, a worker of the cluster Marketing" in system
    assert "copywriting, seo" in system
    assert "irony" in system
    assert (await world.get_agent("w")).last_active == STORED_NOW


async def test_an_agent_without_a_name_goes_by_its_id(
    talking: Services, ollama: OllamaStandIn, world: World
) -> None:
    """Agents that BRAiN's backend made need have no name in their config."""
    await team(world)
    await chat(talking, agent_id="boss")
    assert "You are boss, a supervisor of" in ollama.chats()[0]["messages"][0]["content"]


async def test_history_options_and_model_are_passed_on(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """What the task says goes before the settings, and earlier turns lie between."""
    ollama.models.append("llama3.2")
    history = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": ""}]
    turns = [Turn(**turn) for turn in history]
    options = {"temperature": 0.1, "stop": ["\n"]}
    answer = await chat(talking, "2?", history=turns, options=options, model="llama3.2")
    asked = ollama.chats()[0]
    assert answer["model"] == asked["model"] == "llama3.2"
    assert asked["messages"][1:] == [*history, {"role": "user", "content": "2?"}]
    assert asked["options"] == options


async def test_a_stream_is_progress(talking: Services, ollama: OllamaStandIn) -> None:
    """Each line of the reply is counted, while it is being written."""
    ollama.hold = asyncio.Event()
    one = context()
    async with asyncio.TaskGroup() as tasks:
        chatting = tasks.create_task(agent_chat(AgentChat("Hi"), one, talking))
        await eventually_async(lambda: one.notes.progress == (2, None))
        ollama.hold.set()
        assert (await chatting)["reply"] == "Good morning!"


async def test_lines_end_at_newlines_alone(talking: Services, ollama: OllamaStandIn) -> None:
    """A reply may hold what other readers take for the end of a line."""
    ollama.pieces = ["a\x85b", "\u2028", "c\x0bd\r\n🧠"]
    assert (await chat(talking))["reply"] == "a\x85b\u2028c\x0bd\r\n🧠"


async def test_figures_that_are_not_told_are_null(talking: Services, ollama: OllamaStandIn) -> None:
    """Ollama leaves out what it hasn't measured; nothing is made up for it."""
    ollama.figures = {"done_reason": "length"}
    answer = await chat(talking)
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (None, None)
    assert set(answer["durations_ms"].values()) == {None}


async def test_a_missing_model_is_a_reject(talking: Services) -> None:
    """The refusal tells the command that brings the model."""
    why = await refusal(chat(talking, model="nowhere:1b"))
    assert "has no model 'nowhere:1b'; run `ollama pull nowhere:1b` there" in why


async def test_what_ollama_refuses_is_a_reject(talking: Services, ollama: OllamaStandIn) -> None:
    """A request that is at fault isn't tried again; the words are Ollama's own."""
    ollama.failure = (400, 'invalid option "temprature"')
    why = await refusal(chat(talking, options={"temprature": 1}))
    assert why == 'Ollama refuses the request: invalid option "temprature".'


async def failure(chatting: Any) -> str:
    with pytest.raises(OllamaError) as caught:
        await chatting
    assert str(caught.value).endswith("; check OLLAMA_HOST and whether Ollama runs there.")
    return caught.value.problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failure": (500, "out of memory")}, "answered with status 500: out of memory"),
        ({"failure": (503, "server busy")}, "answered with status 503: server busy"),
        ({"failure": (404, "page not there")}, "answered with status 404: page not there"),
        ({"break_off": 1}, "broke off in the middle of its answer"),
        ({"error_line": "llama runner died"}, "gave up: llama runner died"),
        ({"pieces": ["a", {}]}, "answered what isn't Ollama's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_may_work_later_is_no_reject(
    talking: Services, ollama: OllamaStandIn, changes: dict[str, Any], words: str
) -> None:
    """Ollama's own failures are errors, which are retried, each in words."""
    for name, value in changes.items():
        setattr(ollama, name, value)
    assert await failure(chat(talking)) == words


async def test_a_stream_that_ends_early_is_no_reply(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """An orderly end of the stream without the last line is an answer that broke off."""
    ollama.figures = {"done": False}
    assert await failure(chat(talking)) == "broke off in the middle of its answer"


async def test_silence_is_bounded(services: Services, ollama: OllamaStandIn) -> None:
    """A server that says nothing any more doesn't keep a slot until the handler's time-out."""
    ollama.hold = asyncio.Event()
    async with reaching(services, ollama.url, silence=0.1) as impatient:
        assert await failure(chat(impatient)) == "was silent for 0.1 s"


async def test_a_server_that_is_down(services: Services) -> None:
    """The sentence says where Ollama was looked for and that nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
            async with reaching(services, host) as down:
                assert await failure(chat(down)) == "refuses the connection"


async def test_another_server_is_told_from_a_missing_model(
    services: Services, ollama: OllamaStandIn
) -> None:
    """A 404 that isn't about a model is a wrong address, not a reject of the task."""
    async with reaching(services, f"{ollama.url}/prefix") as misled:
        assert await failure(chat(misled)) == "answered with status 404"
    assert ollama.requests[-1].path == "/prefix/api/chat"


async def test_a_cancelled_chat_closes_the_connection(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """Cancelled in the middle of a reply, a chat leaves Ollama nothing to write for."""
    ollama.hold = asyncio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(chat, talking)
        with anyio.CancelScope(shield=True):
            await eventually_async(ollama.chats)
            group.cancel_scope.cancel()
            try:
                await eventually_async(ollama.gone.is_set, what="the connection is closed")
            finally:
                ollama.hold.set()


async def test_a_cancelled_task_closes_the_connection(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """Whoever cancels the task of a chat ends Ollama's work on it, and the task is answered."""
    ollama.hold = asyncio.Event()
    broker = MemoryBroker()
    worker = Worker(broker, brain_handlers(talking))
    async with anyio.create_task_group() as group:
        await group.start(worker.run)
        task_id = await broker.push(keys.MISSION_QUEUE, "agent.chat", {"message": "Hi"})
        await eventually_async(ollama.chats)
        assert await broker.cancel(task_id)
        try:
            await eventually_async(ollama.gone.is_set, what="the connection is closed")
        finally:
            ollama.hold.set()
        assert (await broker.answer(task_id))["result"]["error_type"] == "Cancelled"
        await worker.stop()


async def test_a_chat_after_a_restart_of_ollama(services: Services) -> None:
    """A connection that was kept and has ended meanwhile is replaced unseen."""
    async with ollama_stand_in() as server, reaching(services, server.url) as talking:
        await chat(talking)
        await server.aclose()
        assert (await chat(talking))["reply"] == "Good morning!"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"message": " \n"}, "message is empty; expected a text of 1 to 100000 characters"),
        ({"message": "x" * 100_001}, "message has 100001 characters; expected at most 100000"),
        ({"message": "\ud800"}, "message contains half a surrogate pair"),
        ({"agent_id": ""}, "agent_id is empty"),
        ({"agent_id": "a\0"}, "agent_id contains a NUL"),
        ({"model": ""}, "model is empty"),
        ({"embed_model": " "}, "embed_model is empty"),
        ({"history": [Turn("tool", "x")]}, "history[0].role is 'tool'; expected one of system, "),
        ({"history": [Turn("user", "\ud800")]}, "history[0].content contains half a surrogate"),
        ({"history": [Turn("user", "x")] * 201}, "history has 201 entries; expected at most 200"),
        ({"options": {"stop": float("inf")}}, "options.stop is inf; expected a finite number"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_said_is_refused(payload: dict[str, Any], words: str) -> None:
    """Each unusable field is named, with what came and what was expected."""
    with pytest.raises(Reject) as caught:
        checked(AgentChat(**{"message": "Hi"} | payload), "qwen2.5:0.5b")
    assert words in str(caught.value)


async def test_who_cannot_be_spoken_to_is_refused(
    talking: Services, ollama: OllamaStandIn, world: World
) -> None:
    """An agent that is unknown, not alive or not the only one is a reject, and nobody is asked."""
    await team(world)
    await world.agent("tired", status="stopped")
    for row_id in ("one", "other"):
        await world.agent(row_id)
        await world.change(ClusterAgent, row_id, agent_id="twin")
    for agent_id, words in {
        "nobody": "There is no agent 'nobody'; check agent_id, or leave it out.",
        "tired": "Agent 'tired' is stopped; name a living agent.",
        "twin": "agent_id 'twin' is that of several agents; give the row's id.",
    }.items():
        assert await refusal(chat(talking, agent_id=agent_id)) == words
    assert ollama.requests == []


async def test_a_cluster_without_config_is_spoken_to(talking: Services, world: World) -> None:
    """A backend that left `config` empty is no hindrance, and memory isn't used."""
    await team(world)
    await world.change(Cluster, "c", config={})
    assert (await chat(talking, agent_id="boss"))["memory"] == NOT_ASKED


async def test_a_worker_tries_again_when_ollama_has_failed(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """What Ollama breaks off is retried, and what it lacks is answered at once, in words."""
    broker = MemoryBroker()
    ollama.break_off = 2
    worker = Worker(broker, brain_handlers(talking), surroundings=Surroundings(draw=lambda: 0.0))
    async with anyio.create_task_group() as group:
        await group.start(worker.run)
        again = await broker.push(keys.MISSION_QUEUE, "agent.chat", {"message": "Hi"})
        answer = await broker.answer(again)
        lacking = {"message": "Hi", "model": "llama3.2"}
        refused = await broker.answer(await broker.push(keys.MISSION_QUEUE, "agent.chat", lacking))
        await worker.stop()
    assert (answer["success"], answer["attempt"]) == (True, 3)
    assert (refused["success"], refused["attempt"]) == (False, 1)
    assert "run `ollama pull llama3.2` there" in refused["result"]["error"]


async def test_only_what_is_elsewhere_is_asked_through_a_proxy(
    services: Services, ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment is for the world outside, not for an Ollama on this machine."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with reaching(services, ollama.url) as direct:
        assert (await chat(direct))["reply"] == "Good morning!"
    monkeypatch.setenv("HTTP_PROXY", ollama.url)
    async with reaching(services, "http://ollama.example") as through:
        assert await failure(chat(through)) == "answered with status 404"
    assert ollama.requests[-1].path == "http://ollama.example/api/chat"
