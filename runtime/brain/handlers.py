"""Which of BRAiN's task types is served by what."""

from typing import Any, Final

from actors import Context, Handlers
from runtime.brain import health_check as health
from runtime.brain import spawn_agent as spawning
from runtime.brain.payloads import HealthCheck, SpawnAgent
from runtime.brain.services import Services
from runtime.redis import keys

# Both are a few short statements: one that takes longer waits for a database that is ill.
TIMEOUT_S: Final = 60


def brain_handlers(services: Services) -> Handlers:
    """Return BRAiN's handlers, which serve the cluster queue.

    Args:
        services: What they work with; it must outlive the worker.
    """
    handlers = Handlers(queue=keys.CLUSTER_QUEUE)

    @handlers.on("spawn_agent", timeout=TIMEOUT_S)
    async def spawn_agent(payload: SpawnAgent, context: Context) -> dict[str, Any]:
        return await spawning.spawn_agent(payload, context.task_id, services)

    @handlers.on("health_check", timeout=TIMEOUT_S)
    async def health_check(payload: HealthCheck) -> dict[str, Any]:
        return await health.health_check(payload, services)

    return handlers
