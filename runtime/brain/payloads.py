"""The payloads of BRAiN's tasks, as the contract's table of task types lists them."""

from typing import Any

from attrs import Factory, frozen


@frozen
class AgentDef:
    """The agent that a `spawn_agent` asks for.

    `role` is a plain text here: `spawn_agent` itself says which roles there are.
    """

    role: str
    name: str
    capabilities: list[str]
    skills: list[str] | None = None
    config: dict[str, Any] | None = Factory(dict)


@frozen
class SpawnAgent:
    """Adds one agent to a cluster.

    Attributes:
        cluster_id: The cluster.
        agent_def: The agent.
        supervisor_id: The row id of the supervisor or lead that it reports to; by default, the
            cluster's supervisor.
    """

    cluster_id: str
    agent_def: AgentDef
    supervisor_id: str | None = None


@frozen
class HealthCheck:
    """Looks at a cluster's agents and at the servers that they live on."""

    cluster_id: str


@frozen
class CollectMetrics:
    """Measures a cluster, and the workers and queues that it shares with the others."""

    cluster_id: str


@frozen
class Turn:
    """One message of an earlier conversation.

    Attributes:
        role: Who said it: `system`, `user` or `assistant`.
        content: What was said.
    """

    role: str
    content: str


@frozen
class AgentChat:
    """Says something to an agent, or to a plain assistant.

    Attributes:
        message: What is said.
        agent_id: The agent, by its public id or its row's; by default, a plain assistant.
        history: What was said before, oldest first.
        model: The model that chats; by default, `OLLAMA_MODEL`.
        options: Ollama's own options, such as `temperature` and `num_predict`.
        memory: Whether the agent recalls and remembers; by default, as its cluster's `config` says.
        embed_model: The model that embeds what is remembered; by default, as the cluster's
            `config` says, else `OLLAMA_EMBED_MODEL`.
    """

    message: str
    agent_id: str | None = None
    history: list[Turn] | None = None
    model: str | None = None
    options: dict[str, Any] | None = None
    memory: bool | None = None
    embed_model: str | None = None
