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
