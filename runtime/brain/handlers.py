"""Which of BRAiN's task types is served by what."""

from typing import Any, Final

from actors import Backoff, Context, Handlers
from runtime.brain import chat
from runtime.brain import collect_metrics as metrics
from runtime.brain import delegate_task as delegating
from runtime.brain import health_check as health
from runtime.brain import scale_cluster as scaling
from runtime.brain import spawn_agent as spawning
from runtime.brain.payloads import (
    AgentChat,
    CollectMetrics,
    DelegateTask,
    HealthCheck,
    ScaleCluster,
    SpawnAgent,
)
from runtime.brain.services import Services
from runtime.redis import keys

# All but chats are a few short statements: one that takes longer waits for a database that is ill.
TIMEOUT_S: Final = 60

CHAT_RETRY: Final = Backoff(attempts=5, base=2.0, cap=60.0)
"""Ollama may be restarted, or load a large model: about half a minute of waits in all."""

OUTAGE: Final = Backoff(attempts=12, base=0.5, cap=30.0)
"""Lasts through a restart or a failover of the database: a minute and a half on average."""

ENGAGED: Final = Backoff(attempts=25, base=0.5, cap=60.0)
"""Lasts until an agent has ended its mission: nine minutes on average."""


def brain_handlers(services: Services) -> Handlers:
    """Return BRAiN's handlers, which serve the cluster queue and the mission queue.

    Args:
        services: What they work with; it must outlive the worker.
    """
    handlers = Handlers(queue=keys.CLUSTER_QUEUE, retry=OUTAGE)

    @handlers.on("spawn_agent", timeout=TIMEOUT_S)
    async def spawn_agent(payload: SpawnAgent, context: Context) -> dict[str, Any]:
        return await spawning.spawn_agent(payload, context.task_id, services)

    @handlers.on("scale_cluster", timeout=TIMEOUT_S)
    async def scale_cluster(payload: ScaleCluster, context: Context) -> dict[str, Any]:
        return await scaling.scale_cluster(payload, context.task_id, services)

    @handlers.on("delegate_task", timeout=TIMEOUT_S, retry=ENGAGED)
    async def delegate_task(payload: DelegateTask, context: Context) -> dict[str, Any]:
        return await delegating.delegate_task(payload, context.task_id, services)

    @handlers.on("health_check", timeout=TIMEOUT_S)
    async def health_check(payload: HealthCheck) -> dict[str, Any]:
        return await health.health_check(payload, services)

    @handlers.on("collect_metrics", timeout=TIMEOUT_S)
    async def collect_metrics(payload: CollectMetrics, context: Context) -> dict[str, Any]:
        return await metrics.collect_metrics(payload, context.task_id, services)

    @handlers.on("agent.chat", queue=keys.MISSION_QUEUE, retry=CHAT_RETRY)
    async def agent_chat(payload: AgentChat, context: Context) -> dict[str, Any]:
        return await chat.agent_chat(payload, context, services)

    return handlers
