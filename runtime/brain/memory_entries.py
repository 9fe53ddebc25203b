"""What is remembered of an exchange, and how it lies in Qdrant.

Qdrant's client is dear to import, so it is imported where it is used.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from attrs import frozen

if TYPE_CHECKING:
    from qdrant_client.models import Filter, PointStruct, ScoredPoint

# Fixed for ever: another value would let redelivered tasks remember a second time.
EXCHANGES: Final = UUID("0b7c5c53-3d3c-5f55-8a63-9d6c0c7a4f1e")

MOST_CHARACTERS: Final = 4_000
"""Of each side of an exchange; what is longer is cut."""

_PREFIX: Final = "brain_chat"


@frozen
class Exchange:
    """Something that was said to an agent, and what it replied.

    Attributes:
        message: What was said.
        reply: What it replied.
        at: When, UTC.
    """

    message: str
    reply: str
    at: datetime


@frozen
class Subject:
    """Whose memory it is, and what it is about.

    Attributes:
        agent: The row id of the agent.
        model: The model that made the vector.
        vector: What the exchange is about.
        task_id: The task that the exchange belongs to.
    """

    agent: str
    model: str
    vector: list[float]
    task_id: str

    @property
    def id(self) -> str:
        """The entry's id: it derives from the task's, so that a redelivery stores it once."""
        return str(uuid5(EXCHANGES, self.task_id))

    @property
    def collection(self) -> str:
        """Where vectors of this length lie."""
        return f"{_PREFIX}_{len(self.vector)}"


def to_point(subject: Subject, exchange: Exchange) -> PointStruct:
    """Return an exchange as it is stored."""
    from qdrant_client.models import PointStruct  # noqa: PLC0415 - dear to import

    return PointStruct(
        id=subject.id,
        vector=subject.vector,
        payload={
            "agent": subject.agent,
            "model": subject.model,
            "task_id": subject.task_id,
            "message": exchange.message[:MOST_CHARACTERS],
            "reply": exchange.reply[:MOST_CHARACTERS],
            "at": exchange.at.isoformat(),
        },
    )


def others(subject: Subject) -> Filter:
    """Return what finds an agent's exchanges of one embedding, but for the task's own."""
    from qdrant_client.models import FieldCondition, Filter, HasIdCondition, MatchValue  # noqa: PLC0415 - dear to import

    return Filter(
        must=[
            FieldCondition(key="agent", match=MatchValue(value=subject.agent)),
            FieldCondition(key="model", match=MatchValue(value=subject.model)),
        ],
        must_not=[HasIdCondition(has_id=[subject.id])],
    )


def from_point(point: ScoredPoint) -> Exchange:
    """Return a stored exchange."""
    stored: dict[str, Any] = point.payload or {}
    return Exchange(stored["message"], stored["reply"], datetime.fromisoformat(stored["at"]))
