"""What the tests of `spawn_agent` share: payloads, teams, and the words of a reject."""

from collections.abc import Awaitable
from typing import Any

import pytest

from actors import Reject
from runtime.brain.payloads import AgentDef, SpawnAgent
from tests.brain.conftest import World


def order(role: str = "worker", cluster_id: str = "c", **values: Any) -> SpawnAgent:
    """Return the payload of a `spawn_agent`, for cluster `c` unless said otherwise."""
    supervisor_id = values.pop("supervisor_id", None)
    definition = {"name": "Content Creator", "capabilities": ["copywriting"]} | values
    return SpawnAgent(cluster_id, AgentDef(role=role, **definition), supervisor_id)


async def refusal(spawning: Awaitable[object]) -> str:
    """Return the words with which a handler rejects."""
    with pytest.raises(Reject) as caught:
        await spawning
    return str(caught.value)


async def team(world: World, **cluster: Any) -> None:
    """Insert a cluster with the supervisor `boss`."""
    await world.cluster(**cluster)
    await world.agent("boss", "supervisor")
