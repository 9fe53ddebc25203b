"""Ids that derive from a task's: the same task run again makes the same agents and missions."""

from typing import Final
from uuid import UUID, uuid5

from runtime.brain.tables import AgentRole

# Fixed for ever: other values would let redelivered tasks spawn or delegate a second time.
AGENTS: Final = UUID("6f0f2b0e-5a0c-5d0a-9a53-1f5be5d4a0c7")
SCALED: Final = UUID("1b6c1f5e-7c53-5f0e-8a0b-5d0a9e3c2f47")
MISSIONS: Final = UUID("c2a4f0d8-3f0b-5b8e-9d6e-7a1c0e4b9d35")

MISSION_PREFIX: Final = "mission-"
"""With which the ids of delegated missions begin: so they are known among all answers."""

_MASK: Final = 2**63 - 1


def agent_row_id(task_id: str) -> str:
    """Return the primary key of the agent that a `spawn_agent` spawns."""
    return str(uuid5(AGENTS, task_id))


def scaled_row_id(task_id: str, cluster_id: str, number: int) -> str:
    """Return the primary key of one of the workers that a `scale_cluster` spawns."""
    return str(uuid5(SCALED, f"{number} {cluster_id} {task_id}"))


def mission_id(task_id: str) -> str:
    """Return the id of the mission that a `delegate_task` delegates."""
    return f"{MISSION_PREFIX}{uuid5(MISSIONS, task_id)}"


def lock_number(task_id: str) -> int:
    """Return the number of the advisory lock under which runs of one task take turns."""
    return uuid5(MISSIONS, task_id).int & _MASK


def public_agent_id(role: AgentRole, row_id: str) -> str:
    """Return the agent's public id: its role and 12 hex digits, as in `worker-1f5be5d4a0c7`."""
    return f"{role}-{row_id.replace('-', '')[:12]}"
