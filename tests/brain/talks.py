"""What the tests of `agent.chat` share: payloads, contexts, and services that reach a stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

from actors import Context
from runtime.brain.chat import agent_chat
from runtime.brain.memory import Memory
from runtime.brain.ollama import Ollama
from runtime.brain.payloads import AgentChat
from runtime.brain.services import Services
from tests.brain.conftest import NOW


def context(task_id: str = "t") -> Context:
    """Return what a handler may know of a task."""
    deadline = NOW + timedelta(minutes=1)
    return Context(task_id, "agent.chat", "q", "w", attempt=1, deadline=deadline)


async def chat(services: Services, message: str = "Hi", task_id: str = "t", **more: Any) -> Any:
    """Run an `agent.chat`."""
    return await agent_chat(AgentChat(message, **more), context(task_id), services)


@asynccontextmanager
async def reaching(
    services: Services, host: str, *, memory: Memory | None = None, **options: Any
) -> AsyncIterator[Services]:
    """Give services that chat with the Ollama of an address, and close what they opened."""
    ollama = Ollama(host, **options)
    memory = memory or Memory(directory=Path("/nonexistent"))
    try:
        yield attrs.evolve(services, ollama=ollama, memory=memory)
    finally:
        await ollama.aclose()
        await memory.aclose()
