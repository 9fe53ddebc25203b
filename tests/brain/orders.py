"""What the tests of BRAiN's handlers share: payloads, teams, and the words of a reject."""

from collections.abc import Awaitable
from typing import Any

import pytest

from actors import Reject
from runtime.brain.payloads import AgentDef, DelegatedTask, DelegateTask, ScaleCluster, SpawnAgent
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


def scale(target: int, cluster_id: str = "c") -> ScaleCluster:
    """Return the payload of a `scale_cluster`, for cluster `c` unless said otherwise."""
    return ScaleCluster(cluster_id, target)


def delegation(
    message: str = "hi",
    *,
    role: str | None = None,
    supervisor_id: str | None = None,
    cluster_id: str = "c",
    **task: Any,
) -> DelegateTask:
    """Return the payload of a `delegate_task`, for cluster `c` unless said otherwise."""
    return DelegateTask(
        cluster_id, DelegatedTask({"message": message}, **task), role, supervisor_id
    )
