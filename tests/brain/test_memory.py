"""What agents remember, in Qdrant's local mode, and chats that go on without it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from runtime.brain.memory import Memory, MemoryUnavailableError, parse_url
from runtime.brain.memory_entries import Exchange, Subject
from runtime.brain.services import Services
from runtime.brain.tables import Cluster
from runtime.embedded.locks import FileLock
from runtime.errors import ConfigurationError
from tests.brain.conftest import NOW, World
from tests.brain.orders import team
from tests.brain.talks import chat, reaching
from tests.ollama import OllamaStandIn, ollama_stand_in
from tests.polling import eventually_async
from tests.servers import free_port

pytestmark = pytest.mark.anyio

USED = {"used": True, "recalled": 0, "remembered": True, "why": None}


@pytest.fixture
async def ollama() -> AsyncIterator[OllamaStandIn]:
    async with ollama_stand_in() as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "qdrant"


@pytest.fixture
async def talking(
    services: Services, ollama: OllamaStandIn, world: World, directory: Path
) -> AsyncIterator[Services]:
    """Services with a memory, and two agents to talk to."""
    await team(world)
    await world.agent("w")
    async with reaching(services, ollama.url, memory=Memory(directory=directory)) as reached:
        yield reached


def asked(ollama: OllamaStandIn) -> str:
    """Return all that the last chat told Ollama."""
    return "\n".join(message["content"] for message in ollama.chats()[-1]["messages"])


def subject(task_id: str = "t", agent: str = "a", *vector: float, model: str = "m") -> Subject:
    return Subject(agent, model, list(vector or (1.0, 0.0)), task_id)


async def remember(memory: Memory, what: Subject, message: str) -> None:
    await memory.remember(what, Exchange(message, f"to {message}", NOW))


async def recalled(memory: Memory, what: Subject) -> list[str]:
    return [exchange.message for exchange in await memory.recall(what)]


async def test_the_second_chat_holds_the_first_exchange(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """What was said and replied before is in the next request to Ollama, and is counted."""
    ollama.pieces = ["Noted, ", "tea."]
    first = await chat(talking, "I drink tea", "1", agent_id="w", memory=True)
    assert first["memory"] == USED
    assert "You remember" not in asked(ollama)
    second = await chat(talking, "What do I drink?", "2", agent_id="w", memory=True)
    assert second["memory"] == USED | {"recalled": 1}
    assert "You were told: I drink tea\nYou replied: Noted, tea." in asked(ollama)
    assert [r.body["model"] for r in ollama.requests if r.path == "/api/embed" and r.body] == [
        "nomic-embed-text"
    ] * 2


async def test_a_redelivered_chat_is_remembered_once(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """Run again, a task neither recalls its own exchange nor stores it a second time."""
    for _ in range(2):
        answer = await chat(talking, "I drink tea", "1", agent_id="w", memory=True)
        assert answer["memory"] == USED
    assert "You remember" not in asked(ollama)
    later = await chat(talking, "And now?", "2", agent_id="w", memory=True)
    assert later["memory"]["recalled"] == 1


async def test_agents_remember_what_was_said_to_themselves(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """One agent's exchanges are none of another's."""
    await chat(talking, "I drink tea", "1", agent_id="w", memory=True)
    other = await chat(talking, "What do I drink?", "2", agent_id="boss", memory=True)
    assert other["memory"]["recalled"] == 0
    assert "tea" not in asked(ollama)


@pytest.mark.parametrize(
    ("config", "payload", "used"),
    [
        ({}, {}, False),
        ({"memory": True}, {}, True),
        ({"memory": "yes"}, {}, False),
        ({"memory": True}, {"memory": False}, False),
        ({"memory": False}, {"memory": True}, True),
    ],
)
async def test_who_decides_on_memory(
    talking: Services,
    world: World,
    config: dict[str, Any],
    payload: dict[str, Any],
    used: bool,  # noqa: FBT001 - a case
) -> None:
    """The task's word goes before that of the cluster's config; neither means no memory."""
    await world.change(Cluster, "c", config=config)
    answer = await chat(talking, agent_id="w", **payload)
    assert answer["memory"]["used"] is used
    assert (answer["memory"]["why"] is None) is used


async def test_the_embedding_model_can_be_chosen(
    talking: Services, ollama: OllamaStandIn, world: World
) -> None:
    """The task's model goes before the cluster's, and that before the setting."""
    ollama.models += ["mini", "maxi"]
    await world.change(Cluster, "c", config={"memory": True, "embed_model": "mini"})
    await chat(talking, "a", "1", agent_id="w")
    await chat(talking, "b", "2", agent_id="w", embed_model="maxi")
    models = [one.body["model"] for one in ollama.requests if one.path == "/api/embed" and one.body]
    assert models == ["mini", "maxi"]


async def test_a_plain_assistant_remembers_nothing(talking: Services, directory: Path) -> None:
    """Without an agent there is nobody whose memory it would be, and the answer says so."""
    answer = await chat(talking, memory=True)
    assert answer["memory"]["why"] == "memory belongs to an agent; give an agent_id"
    assert not directory.parent.exists()


def put_a_file_in_place_of(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))
    directory.touch()


async def without(services: Services) -> str:
    answer = await chat(services, agent_id="w", memory=True)
    assert answer["reply"] == "Good morning!"
    assert (answer["memory"]["used"], answer["memory"]["remembered"]) == (False, False)
    return str(answer["memory"]["why"])


async def test_a_qdrant_that_is_down_fails_no_chat(talking: Services) -> None:
    """The chat is answered without memory, and says where Qdrant was looked for."""
    url = f"http://127.0.0.1:{free_port()}"
    memory = Memory(url)
    try:
        why = await without(attrs.evolve(talking, memory=memory))
    finally:
        await memory.aclose()
    assert why.startswith(f"Qdrant at {url}: ")


async def test_a_directory_that_cannot_be_used_fails_no_chat(
    talking: Services, directory: Path
) -> None:
    """Local mode without a place for its files is no memory, in words."""
    directory.parent.touch()
    assert (await without(talking)).startswith(f"Qdrant's local mode in {directory}: ")


async def test_an_embedding_that_fails_fails_no_chat(
    talking: Services, ollama: OllamaStandIn
) -> None:
    """A missing embedding model is told with the command that brings it."""
    ollama.models.remove("nomic-embed-text:latest")
    assert "run `ollama pull nomic-embed-text` there" in await without(talking)


async def test_an_exchange_that_cannot_be_stored_is_told(
    talking: Services, ollama: OllamaStandIn, directory: Path
) -> None:
    """Where memory goes away during a chat, the reply counts, and the answer says what is lost."""
    ollama.hold = asyncio.Event()
    running = asyncio.ensure_future(chat(talking, agent_id="w", memory=True))
    await eventually_async(ollama.chats)
    put_a_file_in_place_of(directory)
    ollama.hold.set()
    answer = await running
    assert answer["reply"] == "Good morning!"
    assert (answer["memory"]["used"], answer["memory"]["remembered"]) == (True, False)
    assert "local mode" in answer["memory"]["why"]


async def test_the_nearest_are_recalled(directory: Path) -> None:
    """Of many exchanges the three whose vectors point the same way come back, oldest first."""
    memory = Memory(directory=directory)
    for number, angle in enumerate((0.0, 0.1, 0.2, 5.0, 9.0)):
        exchange = Exchange(f"{angle}", "", NOW - timedelta(hours=number))
        await memory.remember(subject(f"{number}", "a", 1.0, angle), exchange)
    assert await recalled(memory, subject("new")) == ["0.2", "0.1", "0.0"]


async def test_other_embeddings_are_not_compared(directory: Path) -> None:
    """Vectors of another model, or of another length, lie apart."""
    memory = Memory(directory=directory)
    await remember(memory, subject("1"), "one")
    await remember(memory, subject("2", "a", 1.0, 0.0, model="n"), "other model")
    await remember(memory, subject("3", "a", 1.0, 0.0, 0.0), "other length")
    assert await recalled(memory, subject("new")) == ["one"]
    assert await recalled(memory, subject("new", "a", 1.0, 0.0, 0.0)) == ["other length"]


async def test_long_exchanges_are_cut(directory: Path) -> None:
    """What is remembered is bounded, so that recalling it doesn't crowd out the chat."""
    memory = Memory(directory=directory)
    await memory.remember(subject("1"), Exchange("m" * 5_000, "r" * 5_000, NOW))
    (found,) = await memory.recall(subject("2"))
    assert (len(found.message), len(found.reply)) == (4_000, 4_000)


async def test_workers_share_a_directory(directory: Path) -> None:
    """Two memories, as of two processes, use one directory at the same time, and see all."""
    memories = [Memory(directory=directory), Memory(directory=directory)]
    await asyncio.gather(*(remember(memories[n % 2], subject(f"{n}"), f"{n}") for n in range(6)))
    found = await asyncio.gather(*(recalled(memory, subject("new")) for memory in memories))
    assert [len(one) for one in found] == [3, 3]


async def test_a_directory_that_stays_busy_is_given_up(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that keeps the directory is named, with the way out."""
    monkeypatch.setattr("runtime.brain.memory.TIMEOUT_S", 0)
    directory.parent.mkdir()
    lock = FileLock(directory.with_name("qdrant.lock"))
    assert lock.try_exclusive()
    with pytest.raises(MemoryUnavailableError, match="with QDRANT_URL they share a server"):
        await Memory(directory=directory).recall(subject())
    lock.close()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://qdrant", "http://qdrant:6333"),
        ("http://qdrant:7000/", "http://qdrant:7000"),
        ("https://example.com/prefix", "https://example.com:6333/prefix"),
        ("http://[::1]", "http://[::1]:6333"),
    ],
)
def test_a_url_gets_its_port(text: str, url: str) -> None:
    """Without a port, Qdrant's own is meant."""
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text", ["qdrant:6333", "ftp://q", "http://", "http://q:x", "http://q?a=1"]
)
def test_what_is_no_url_is_refused(text: str) -> None:
    """One sentence names the setting, what came and what belongs there."""
    with pytest.raises(ConfigurationError) as caught:
        Memory(text)
    assert str(caught.value).startswith(f"QDRANT_URL is {text!r}, expected http(s)://host:port")


def test_a_password_of_qdrant_is_not_shown() -> None:
    """A URL with a user in it is refused without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        Memory("http://me:geheim@qdrant")
    assert "geheim" not in str(caught.value)


def test_who_remembers_nothing_loads_no_qdrant() -> None:
    """Qdrant's client, dear to import, is left out until it is needed."""
    code = "import sys, runtime.brain.handlers; print('qdrant_client' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


async def test_without_qdrants_client_chats_go_on(
    talking: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that lacks the package answers without memory, and says what to install."""
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    why = await without(talking)
    assert why.startswith("the package qdrant_client is missing (pip install ")
