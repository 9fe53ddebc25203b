"""`agent.chat`: says something to an agent, or to a plain assistant, and returns the reply.

The agent's row is read, and `last_active` written, in one short transaction before Ollama is
asked. The reply is streamed, so a cancellation closes the connection, and Ollama's work ends.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from attrs import frozen
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from actors import Context, Reject
from runtime.brain import checks, clusters
from runtime.brain.chat_memory import NOBODYS, NOT_ASKED, Recollection, recall, remember
from runtime.brain.chat_prompt import Persona, messages, system_prompt
from runtime.brain.database import transaction
from runtime.brain.ollama import Line
from runtime.brain.ollama_errors import ModelMissingError, OllamaRefusedError
from runtime.brain.payloads import AgentChat, Turn
from runtime.brain.services import Services
from runtime.brain.tables import Cluster, ClusterAgent

ROLES: Final = ("system", "user", "assistant")
MAX_TURNS: Final = 200


@frozen
class Talk:
    """A checked `agent.chat` task.

    Attributes:
        message: What is said.
        agent_id: The agent, if one is meant.
        history: What was said before.
        model: The model that chats.
        options: Ollama's own options.
        memory: Whether memory is used, if the task says so.
        embed_model: The model that embeds, if the task says so.
    """

    message: str
    agent_id: str | None
    history: list[Turn]
    model: str
    options: dict[str, Any]
    memory: bool | None
    embed_model: str | None


@frozen
class Spoken:
    """An agent that is spoken to, and what its cluster's `config` says of memory.

    Attributes:
        persona: The agent.
        memory: Whether memory is used unless the task says otherwise.
        embed_model: The model that embeds, if the cluster names one.
    """

    persona: Persona
    memory: bool
    embed_model: str | None


async def agent_chat(payload: AgentChat, context: Context, services: Services) -> dict[str, Any]:
    """Return the reply to a message, with Ollama's figures and what memory did.

    A cancellation closes the connection to Ollama; running the task again is safe.

    Raises:
        Reject: The task can't be done as it stands: says why, and what to do.
        OllamaError: Ollama can't be asked, or its answer broke off.
        DatabaseUnreachableError: The agent can't be looked up.
    """
    talk = checked(payload, services.ollama.model)
    spoken = None if talk.agent_id is None else await _spoken_to(talk.agent_id, services)
    recollection = await _recollection(talk, spoken, context.task_id, services)
    persona = None if spoken is None else spoken.persona
    system = system_prompt(persona, recollection.exchanges)
    conversation = messages(system, talk.history, talk.message)
    pieces: list[str] = []
    last = Line()
    async with aclosing(_lines(talk, conversation, services)) as lines:
        async for last in lines:
            pieces.append(last.message.content)
            # Ollama sends a token a line; how many there will be nobody knows.
            context.progress(len(pieces))
    reply = "".join(pieces)
    recollection = await remember(recollection, talk.message, reply, services)
    return {
        "reply": reply,
        "agent_id": None if persona is None else persona.agent_id,
        "model": last.model or talk.model,
        "done_reason": last.done_reason,
        "prompt_eval_count": last.prompt_eval_count,
        "eval_count": last.eval_count,
        "durations_ms": last.durations_ms(),
        "memory": recollection.as_json(),
    }


def checked(payload: AgentChat, usual_model: str) -> Talk:
    """Check all of a task that can be judged without a server.

    Raises:
        Reject: A field can't be used: says which, what came and what was expected.
    """
    history = payload.history or []
    if len(history) > MAX_TURNS:
        raise Reject(f"history has {len(history)} entries; expected at most {MAX_TURNS}.")
    for index, turn in enumerate(history):
        if turn.role not in ROLES:
            roles = ", ".join(ROLES)
            raise Reject(f"history[{index}].role is {turn.role[:50]!r}; expected one of {roles}.")
        checks.text(f"history[{index}].content", turn.content)
    return Talk(
        message=checks.message("message", payload.message),
        agent_id=_optional("agent_id", payload.agent_id),
        history=history,
        model=_optional("model", payload.model) or usual_model,
        options=checks.json_object("options", payload.options or {}),
        memory=payload.memory,
        embed_model=_optional("embed_model", payload.embed_model),
    )


def _optional(field: str, value: str | None) -> str | None:
    return None if value is None else checks.name(field, value)


async def _spoken_to(agent_id: str, services: Services) -> Spoken:
    """Look an agent up, by its public id or its row's, and note that it is active."""

    async def work(session: AsyncSession) -> Spoken:
        named = or_(ClusterAgent.id == agent_id, ClusterAgent.agent_id == agent_id)
        found = list(await session.scalars(select(ClusterAgent).where(named).limit(2)))
        if not found:
            raise Reject(f"There is no agent {agent_id!r}; check agent_id, or leave it out.")
        if len(found) > 1:
            raise Reject(f"agent_id {agent_id!r} is that of several agents; give the row's id.")
        agent = found[0]
        if agent.status not in clusters.LIVE:
            raise Reject(f"Agent {agent_id!r} is {agent.status}; name a living agent.")
        cluster = await session.get_one(Cluster, agent.cluster_id)
        agent.last_active = services.now()
        return _known(agent, cluster)

    return await transaction(services.engine, work)


def _known(agent: ClusterAgent, cluster: Cluster) -> Spoken:
    config, shared = agent.config or {}, cluster.config or {}
    model = shared.get("embed_model")
    return Spoken(
        persona=Persona(
            row_id=agent.id,
            agent_id=agent.agent_id,
            role=agent.role,
            # The name has no column; an agent that others made may have none at all.
            name=str(config.get("name") or agent.agent_id),
            cluster=cluster.name,
            capabilities=tuple(map(str, agent.capabilities or ())),
            skills=tuple(map(str, agent.skills or ())),
        ),
        memory=shared.get("memory") is True,
        embed_model=model if isinstance(model, str) and model.strip() else None,
    )


async def _recollection(
    talk: Talk, spoken: Spoken | None, task_id: str, services: Services
) -> Recollection:
    if spoken is None:
        return Recollection(why=NOBODYS if talk.memory else NOT_ASKED)
    if not (spoken.memory if talk.memory is None else talk.memory):
        return Recollection(why=NOT_ASKED)
    embed_model = talk.embed_model or spoken.embed_model or services.ollama.embed_model
    return await recall(spoken.persona.row_id, task_id, talk.message, embed_model, services)


async def _lines(
    talk: Talk, conversation: list[dict[str, str]], services: Services
) -> AsyncGenerator[Line, None]:
    """Yield the reply as Ollama writes it; the last line has the figures.

    Raises:
        Reject: The model isn't there, or Ollama won't do what `options` or `model` ask for.
        OllamaError: Another attempt may do better.
    """
    try:
        async with aclosing(services.ollama.chat(talk.model, conversation, talk.options)) as lines:
            async for line in lines:
                yield line
    except (ModelMissingError, OllamaRefusedError) as error:
        raise Reject(str(error)) from None
