"""BRAiN's handlers as a worker sees them."""

from datetime import timedelta
from typing import Any

import pytest

from actors import Context
from runtime.brain.handlers import brain_handlers
from runtime.brain.services import Services
from tests.brain.conftest import NOW

pytestmark = pytest.mark.anyio


async def run(services: Services, task_type: str, payload: dict[str, Any]) -> Any:
    handler = brain_handlers(services)[task_type]
    context = Context("t", task_type, "q", "w", attempt=1, deadline=NOW + timedelta(minutes=1))
    return await handler.function(*handler.arguments(handler.read(payload), context))


async def test_the_handlers_serve_both_queues(services: Services) -> None:
    """Chats are missions; all else is done on clusters."""
    handlers = brain_handlers(services)
    served = {task_type: handler.queue for task_type, handler in handlers.items()}
    assert served.pop("agent.chat") == "brain:mission_tasks"
    assert set(served.values()) == {"brain:cluster_tasks"}
    assert set(served) == {
        "spawn_agent",
        "scale_cluster",
        "delegate_task",
        "health_check",
        "collect_metrics",
    }
    assert handlers.queues == ("brain:cluster_tasks", "brain:mission_tasks")


async def test_the_contracts_payload_spawns_an_agent(services: Services) -> None:
    """The contract's example payload, on the demo cluster, runs as it is written."""
    definition = {"role": "worker", "name": "Content Creator", "capabilities": ["copywriting"]}
    payload = {"cluster_id": "demo", "agent_def": definition}
    answer = await run(services, "spawn_agent", payload)
    assert answer["name"] == "Content Creator"
    assert await run(services, "spawn_agent", payload) == answer


async def test_a_fresh_demo_cluster_can_be_scaled(services: Services) -> None:
    """The demo cluster says what its workers are like, and they can be given missions."""
    answer = await run(services, "scale_cluster", {"cluster_id": "demo", "target_workers": 3})
    assert answer["after"] == 3
    task = {"payload": {"message": "hi"}, "required_capabilities": ["demo"]}
    answer = await run(services, "delegate_task", {"cluster_id": "demo", "task": task})
    assert answer["agent"]["name"] == "Demo worker"


async def test_a_fresh_demo_cluster_can_be_checked(services: Services) -> None:
    """The demo cluster lacks nothing but its first worker."""
    answer = await run(services, "health_check", {"cluster_id": "demo"})
    assert answer["findings"] == ["The cluster has 0 workers, fewer than 1."]
