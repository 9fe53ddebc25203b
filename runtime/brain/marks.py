"""What the pool notes in the `config` of a cluster or an agent, for which there is no column.

All of it lies under one key of its own, `_pool`, so that it never meets a key of a producer's or of
BRAiN's backend. What can't be read there was written by somebody else and counts as nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from attrs import evolve, frozen

NAME: Final = "name"
"""Holds an agent's human name."""

SPAWN: Final = "spawn"
"""Holds what the answer of `spawn_agent` tells and time may change."""

POOL: Final = "_pool"
"""Holds the marks of this module."""

KEPT: Final = 20
"""Entries of a history. A redelivered task finds its own among them: it comes back within seconds
of its worker's death, ahead of all that waits."""

T = TypeVar("T")


@frozen
class Mission:
    """What an agent is busy with.

    Attributes:
        task_id: the mission's task.
        since: when the agent was given it.
        until: when it has surely ended, heard of or not.
    """

    task_id: str
    since: datetime
    until: datetime


@frozen
class Given:
    """A mission that an agent was given at some time.

    Attributes:
        mission_id: the mission's task.
        supervisor_id: the row id of who delegated it.
    """

    mission_id: str
    supervisor_id: str


@frozen
class AgentMarks:
    """What the pool notes of an agent.

    Attributes:
        mission: what it is busy with.
        given: its latest missions, the last one at the end.
        stopping: whether it stops when its mission ends.
        timed: missions that `avg_task_duration` is the mean of; None before the first.
    """

    mission: Mission | None = None
    given: tuple[Given, ...] = ()
    stopping: bool = False
    timed: int | None = None

    def busy_with(self, mission: Mission, supervisor_id: str) -> "AgentMarks":
        """Return the marks of an agent that was given a mission."""
        given = (*self.given, Given(mission.task_id, supervisor_id))[-KEPT:]
        return evolve(self, mission=mission, given=given)

    def rid_of(self, mission_id: str) -> "AgentMarks":
        """Return the marks of an agent that was never given a mission."""
        others = tuple(one for one in self.given if one.mission_id != mission_id)
        return evolve(self, mission=None, given=others)


@frozen
class Scaling:
    """What a `scale_cluster` did, for when its task is run again.

    Attributes:
        task_id: the task.
        target: the workers that were asked for.
        answer: what it was answered.
    """

    task_id: str
    target: int
    answer: dict[str, Any]


@frozen
class ClusterMarks:
    """What the pool notes of a cluster.

    Attributes:
        scalings: its latest scalings, the last one at the end.
        status: the cluster's status before it was `scaling_up` or `scaling_down`.
    """

    scalings: tuple[Scaling, ...] = ()
    status: str | None = None

    def scaled(self, scaling: Scaling) -> "ClusterMarks":
        """Return the marks of a cluster whose scaling is over."""
        return evolve(self, scalings=(*self.scalings, scaling)[-KEPT:], status=None)


def of_agent(config: object) -> AgentMarks:
    """Read what is noted of an agent."""
    return _read(config, AgentMarks)


def of_cluster(config: object) -> ClusterMarks:
    """Read what is noted of a cluster."""
    return _read(config, ClusterMarks)


def fields(config: object) -> dict[str, Any]:
    """Return the keys of a `config`, none if it is no object, as the column may allow."""
    return dict(config) if isinstance(config, Mapping) else {}


def noted(config: object, marks: AgentMarks | ClusterMarks) -> dict[str, Any]:
    """Return a `config` with these marks, all its other keys as they are."""
    return fields(config) | {POOL: msgspec.to_builtins(marks)}


def bare(config: object) -> dict[str, Any]:
    """Return an agent's `config` without what the pool writes there."""
    found = fields(config).items()
    return {key: value for key, value in found if key not in (NAME, SPAWN, POOL)}


def _read(config: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(fields(config).get(POOL, {}), kind)
    except msgspec.ValidationError:
        return kind()
