"""A chat's use of memory: it never fails the chat, but tells why it was of no use."""

from typing import Any, Final, Self

from attrs import evolve, field, frozen
from loguru import logger

from runtime.brain.errors import BrainError
from runtime.brain.memory import MemoryUnavailableError
from runtime.brain.memory_entries import Exchange, Subject
from runtime.brain.ollama_errors import ModelMissingError, OllamaError, OllamaRefusedError
from runtime.brain.services import Services

NOT_ASKED: Final = "it wasn't asked for"
NOBODYS: Final = "memory belongs to an agent; give an agent_id"


@frozen
class Recollection:
    """What memory did for a chat.

    Attributes:
        subject: Whose memory it is and what about; None if memory isn't used.
        exchanges: What was recalled, oldest first.
        remembered: Whether the new exchange is stored.
        why: What kept memory from being used, or the exchange from being stored.
    """

    subject: Subject | None = None
    exchanges: list[Exchange] = field(factory=list)
    remembered: bool = False
    why: str | None = None

    def without(self, error: BrainError) -> Self:
        """Note that memory is of no use any more."""
        why = error.why if isinstance(error, MemoryUnavailableError) else str(error).rstrip(".")
        return evolve(self, why=why)

    def as_json(self) -> dict[str, Any]:
        """Return it as the answer holds it."""
        return {
            "used": self.subject is not None,
            "recalled": len(self.exchanges),
            "remembered": self.remembered,
            "why": self.why,
        }


async def recall(
    agent: str, task_id: str, message: str, embed_model: str, services: Services
) -> Recollection:
    """Return what an agent remembers of a message; nothing, and why, where that fails.

    Args:
        agent: The row id of the agent.
        task_id: The chat's task, whose own exchange isn't recalled.
        message: What is said to the agent.
        embed_model: The model that embeds it.
        services: Ollama, which embeds, and the memory.
    """
    try:
        vector = await services.ollama.embed(embed_model, message)
        subject = Subject(agent, embed_model, vector, task_id)
        exchanges = await services.memory.recall(subject)
    except (OllamaError, OllamaRefusedError, ModelMissingError, MemoryUnavailableError) as error:
        logger.warning("Task {} is answered without memory: {}", task_id, error)
        return Recollection().without(error)
    return Recollection(subject, exchanges)


async def remember(
    recollection: Recollection, message: str, reply: str, services: Services
) -> Recollection:
    """Store the new exchange, if memory is used; where that fails, say why.

    A cancellation may leave it stored or not; the task's next run stores it in its place.
    """
    subject = recollection.subject
    if subject is None:
        return recollection
    try:
        await services.memory.remember(subject, Exchange(message, reply, services.clock()))
    except MemoryUnavailableError as error:
        logger.warning("The exchange of task {} isn't remembered: {}", subject.task_id, error)
        return recollection.without(error)
    return evolve(recollection, remembered=True)
