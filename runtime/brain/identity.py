"""An agent's two ids, both derived from the task that spawns it: the same task, the same agent."""

from typing import Final
from uuid import UUID, uuid5

from runtime.brain.tables import AgentRole

# Fixed for ever: another value would let redelivered tasks spawn a second agent.
AGENTS: Final = UUID("6f0f2b0e-5a0c-5d0a-9a53-1f5be5d4a0c7")


def agent_row_id(task_id: str) -> str:
    """Return the primary key of the agent that a task spawns."""
    return str(uuid5(AGENTS, task_id))


def public_agent_id(role: AgentRole, row_id: str) -> str:
    """Return the agent's public id: its role and 12 hex digits, as in `worker-1f5be5d4a0c7`."""
    return f"{role}-{row_id.replace('-', '')[:12]}"
