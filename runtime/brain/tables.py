"""BRAiN's three tables, as the contract fixes them: owned by BRAiN's backend, used here.

Every column is written explicitly or by a default on Python's side, for the backend's tables
may have `NOT NULL` without a default. The server's defaults are for the tables that we create
ourselves, so that a row typed into psql is as complete.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import JSON, DateTime, Float, ForeignKey, Integer, String, Text, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

ID_LENGTH: Final = 64
TEXT_LENGTH: Final = 255


class ClusterType(StrEnum):
    """What a cluster is made for."""

    DEPARTMENT = "department"
    PROJECT = "project"
    TEMPORARY = "temporary"
    PERSISTENT = "persistent"


class ClusterStatus(StrEnum):
    """Where a cluster stands in its life."""

    PLANNING = "planning"
    SPAWNING = "spawning"
    ACTIVE = "active"
    SCALING_UP = "scaling_up"
    SCALING_DOWN = "scaling_down"
    HIBERNATED = "hibernated"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class AgentRole(StrEnum):
    """What an agent does in its cluster."""

    SUPERVISOR = "supervisor"
    LEAD = "lead"
    SPECIALIST = "specialist"
    WORKER = "worker"


class AgentStatus(StrEnum):
    """How an agent is."""

    ACTIVE = "active"
    IDLE = "idle"
    BUSY = "busy"
    FAILED = "failed"
    STOPPED = "stopped"


class EnumText(UserDefinedType[str]):
    """An enumeration's lower-case text, read as `str`: a newer backend may know values we don't.

    Its parameters carry no `::VARCHAR`, unlike `String`: the server infers their type from the
    column, so that a database whose migrations made it a native enumeration works too.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type that our own tables give the column."""
        return "VARCHAR(32)"

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None]:  # noqa: ARG002 -- SQLAlchemy's signature
        """Send a plain `str`, which is all that asyncpg knows."""
        return lambda value: None if value is None else str(value)


class Base(DeclarativeBase):
    """The registry of BRAiN's tables."""


UTC_NOW: Final = text("timezone('utc', now())")


def _id(*constraints: ForeignKey, **options: Any) -> Mapped[Any]:
    return mapped_column(String(ID_LENGTH), *constraints, **options)


def _enumeration(default: str | None = None) -> Mapped[str]:
    return mapped_column(EnumText(), default=default, server_default=default)


def _integer(default: int) -> Mapped[int]:
    return mapped_column(Integer, default=default, server_default=str(default))


def _number(default: float) -> Mapped[float]:
    return mapped_column(Float, default=default, server_default=str(default))


def _figure(kind: type[Float[Any] | Integer]) -> Mapped[Any]:
    # What couldn't be measured is null, never a number.
    return mapped_column(kind, nullable=True)


def _json(default: type[list[Any] | dict[str, Any]]) -> Mapped[Any]:
    return mapped_column(JSON, default=default, server_default="[]" if default is list else "{}")


def _time(*, required: bool = False) -> Mapped[Any]:
    if required:
        return mapped_column(DateTime, nullable=False, server_default=UTC_NOW)
    return mapped_column(DateTime, nullable=True)


class Cluster(Base):
    """A team of agents. Its row is the lock under which its agents and counters change."""

    __tablename__ = "clusters"

    id: Mapped[str] = _id(primary_key=True)
    name: Mapped[str] = mapped_column(String(TEXT_LENGTH))
    type: Mapped[str] = _enumeration(ClusterType.PROJECT)
    status: Mapped[str] = _enumeration(ClusterStatus.PLANNING)
    blueprint_id: Mapped[str | None] = mapped_column(String(TEXT_LENGTH))
    blueprint_version: Mapped[str | None] = mapped_column(String(TEXT_LENGTH))
    parent_cluster_id: Mapped[str | None] = _id(ForeignKey("clusters.id"), nullable=True)
    min_workers: Mapped[int] = _integer(1)
    max_workers: Mapped[int] = _integer(10)
    current_workers: Mapped[int] = _integer(0)
    target_workers: Mapped[int] = _integer(1)
    health_score: Mapped[float] = _number(1.0)
    load_percentage: Mapped[float] = _number(0.0)
    tasks_completed: Mapped[int] = _integer(0)
    tasks_failed: Mapped[int] = _integer(0)
    created_at: Mapped[datetime] = _time(required=True)
    started_at: Mapped[datetime | None] = _time()
    hibernated_at: Mapped[datetime | None] = _time()
    destroyed_at: Mapped[datetime | None] = _time()
    last_active: Mapped[datetime | None] = _time()
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[Any]] = _json(list)
    config: Mapped[dict[str, Any]] = _json(dict)


class ClusterAgent(Base):
    """One agent of a cluster. `agent_id` is its public name, `config["name"]` the human one."""

    __tablename__ = "cluster_agents"

    id: Mapped[str] = _id(primary_key=True)
    cluster_id: Mapped[str] = _id(ForeignKey("clusters.id"), index=True, nullable=False)
    agent_id: Mapped[str] = mapped_column(String(TEXT_LENGTH))
    role: Mapped[str] = _enumeration()
    supervisor_id: Mapped[str | None] = _id(ForeignKey("cluster_agents.id"), nullable=True)
    capabilities: Mapped[list[Any]] = _json(list)
    skills: Mapped[list[Any]] = _json(list)
    config: Mapped[dict[str, Any]] = _json(dict)
    status: Mapped[str] = _enumeration(AgentStatus.ACTIVE)
    health_score: Mapped[float] = _number(1.0)
    tasks_completed: Mapped[int] = _integer(0)
    tasks_failed: Mapped[int] = _integer(0)
    avg_task_duration: Mapped[float] = _number(0.0)
    last_error: Mapped[str | None] = mapped_column(Text)
    spawned_at: Mapped[datetime] = _time(required=True)
    last_active: Mapped[datetime | None] = _time()
    stopped_at: Mapped[datetime | None] = _time()


class ClusterMetrics(Base):
    """One measurement of a cluster."""

    __tablename__ = "cluster_metrics"

    id: Mapped[str] = _id(primary_key=True)
    cluster_id: Mapped[str] = _id(ForeignKey("clusters.id"), index=True, nullable=False)
    timestamp: Mapped[datetime] = _time(required=True)
    cpu_usage: Mapped[float | None] = _figure(Float)
    memory_usage: Mapped[float | None] = _figure(Float)
    tasks_per_minute: Mapped[float | None] = _figure(Float)
    avg_response_time: Mapped[float | None] = _figure(Float)
    error_rate: Mapped[float | None] = _figure(Float)
    active_agents: Mapped[int] = _integer(0)
    idle_agents: Mapped[int] = _integer(0)
    busy_agents: Mapped[int] = _integer(0)
    failed_agents: Mapped[int] = _integer(0)
    queue_length: Mapped[int | None] = _figure(Integer)
    queue_wait_time: Mapped[float | None] = _figure(Float)
