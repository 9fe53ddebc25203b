"""BRAiN's services on a real database and a real Valkey, and clusters to work on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from runtime import TaskQueue
from runtime.brain import database, schema
from runtime.brain.services import Services
from runtime.brain.tables import Cluster, ClusterAgent

NOW = datetime(2024, 2, 17, 10, 30, tzinfo=UTC)
STORED_NOW = NOW.replace(tzinfo=None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def services(database_url: str, redis_url: str) -> AsyncIterator[Services]:
    """Services on a database with BRAiN's tables, at a time that stands still."""
    engine = database.engine(database_url, concurrency=8)
    redis = Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0))
    await schema.create_in_empty(engine, clock=lambda: NOW)
    async with TaskQueue(redis_url) as queue:
        yield Services(engine, redis, clock=lambda: NOW, queue=queue)
    await redis.aclose()
    await engine.dispose()


class World:
    """Writes and reads BRAiN's tables for a test."""

    def __init__(self, services: Services) -> None:
        self._engine = services.engine

    async def cluster(self, cluster_id: str = "c", **values: Any) -> str:
        """Insert a cluster, active unless said otherwise."""
        row = {"name": cluster_id, "status": "active", "created_at": STORED_NOW} | values
        await self._add(Cluster(id=cluster_id, **row))
        return cluster_id

    async def agent(self, agent_id: str, role: str = "worker", **values: Any) -> str:
        """Insert an agent of cluster `c`, active and heard of just now unless said otherwise."""
        times = {"spawned_at": STORED_NOW, "last_active": STORED_NOW}
        row = {"cluster_id": "c", "agent_id": agent_id, "status": "active"} | times | values
        await self._add(ClusterAgent(id=agent_id, role=role, **row))
        return agent_id

    async def get_cluster(self, cluster_id: str = "c") -> Cluster:
        async with AsyncSession(self._engine) as session:
            return await session.get_one(Cluster, cluster_id)

    async def get_agent(self, row_id: str) -> ClusterAgent:
        async with AsyncSession(self._engine) as session:
            return await session.get_one(ClusterAgent, row_id)

    async def agents(self, cluster_id: str = "c", role: str = "worker") -> list[ClusterAgent]:
        """Return a cluster's agents of a role, those that stopped among them, by their ids."""
        async with AsyncSession(self._engine) as session:
            chosen = select(ClusterAgent).where(
                ClusterAgent.cluster_id == cluster_id, ClusterAgent.role == role
            )
            return list(await session.scalars(chosen.order_by(ClusterAgent.id)))

    async def statuses(self, cluster_id: str = "c", role: str = "worker") -> dict[str, str]:
        """Return the status of each of a cluster's agents of a role."""
        return {agent.id: agent.status for agent in await self.agents(cluster_id, role)}

    async def count(self, cluster_id: str = "c") -> int:
        """Return the number of a cluster's agents."""
        async with AsyncSession(self._engine) as session:
            of_cluster = ClusterAgent.cluster_id == cluster_id
            return (await session.scalars(select(func.count()).where(of_cluster))).one()

    async def change(
        self, row: type[Cluster | ClusterAgent], row_id: str, **values: object
    ) -> None:
        """Change a row, as BRAiN's backend would."""
        async with AsyncSession(self._engine) as session, session.begin():
            found = await session.get_one(row, row_id)
            for name, value in values.items():
                setattr(found, name, value)

    async def _add(self, row: object) -> None:
        async with AsyncSession(self._engine) as session, session.begin():
            session.add(row)


@pytest.fixture
def world(services: Services) -> World:
    return World(services)
