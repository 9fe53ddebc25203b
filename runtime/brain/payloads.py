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
class ScaleCluster:
    """Brings a cluster to a number of workers; 0 hibernates it."""

    cluster_id: str
    target_workers: int


@frozen
class DelegatedTask:
    """The mission that a `delegate_task` asks for.

    Attributes:
        payload: What the mission's handler is given; `agent_id` is added to it.
        type: The mission's type.
        required_capabilities: What its agent must be capable of, all of it.
        timeout: Seconds that a run of the mission may take; by default its handler's.
        max_attempts: Its runs in all; by default its handler's.
        expires_in: Seconds after which it isn't begun any more; by default a day.
    """

    payload: dict[str, Any]
    type: str = "agent.chat"
    required_capabilities: list[str] = Factory(list)
    timeout: float | None = None
    max_attempts: int | None = None
    expires_in: float | None = None


@frozen
class DelegateTask:
    """Gives a mission to an agent of a cluster.

    Attributes:
        cluster_id: The cluster.
        task: The mission.
        target_role: The role that its agent must have; by default any but the supervisor's.
        supervisor_id: The row id of the supervisor or lead who delegates; by default, the
            cluster's supervisor.
    """

    cluster_id: str
    task: DelegatedTask
    target_role: str | None = None
    supervisor_id: str | None = None


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
