"""Which workers a scaling takes back, spawns, stops: a plain function from values to values."""

from datetime import datetime

from attrs import frozen

from runtime.brain.tables import AgentStatus


@frozen
class Worker:
    """A living worker, as a scaling sees it.

    Attributes:
        id: Its row id.
        status: `active`, `idle` or `busy`.
        last_active: When it was last heard of.
        stopping: Whether it stops when its mission ends.
    """

    id: str
    status: str
    last_active: datetime
    stopping: bool = False

    @property
    def leaves(self) -> bool:
        """Whether it works, and stops when that ends."""
        return self.stopping and self.status == AgentStatus.BUSY


@frozen
class Steps:
    """What brings a cluster to its target.

    Attributes:
        spawn: How many workers are spawned.
        resume: Row ids of those that were to stop and go on instead.
        stop: Row ids of those that stop now.
        leave: Row ids of those that stop when their missions end.
    """

    spawn: int = 0
    resume: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()

    @property
    def grows(self) -> bool:
        """Whether workers come or stay on."""
        return self.spawn > 0 or bool(self.resume)

    @property
    def shrinks(self) -> bool:
        """Whether workers go."""
        return bool(self.stop or self.leave)


def plan(workers: list[Worker], target: int) -> Steps:
    """Decide how to come to `target` workers that stay.

    Upwards, those that are about to leave stay on first, for they live anyway. Downwards, idle ones
    go first, then those that are active without a mission, then busy ones, which are never cut
    short; among equals, the least recently active.
    """
    leaving = sorted((w for w in workers if w.leaves), key=_age, reverse=True)
    staying = [w for w in workers if not w.leaves]
    missing = target - len(staying)
    if missing >= 0:
        resumed = leaving[:missing]
        return Steps(spawn=missing - len(resumed), resume=tuple(w.id for w in resumed))
    goes = sorted(staying, key=_reluctance)[:-missing]
    return Steps(
        stop=tuple(w.id for w in goes if w.status != AgentStatus.BUSY),
        leave=tuple(w.id for w in goes if w.status == AgentStatus.BUSY),
    )


def _reluctance(worker: Worker) -> tuple[int, datetime, str]:
    order = (AgentStatus.IDLE, AgentStatus.ACTIVE, AgentStatus.BUSY)
    return (order.index(AgentStatus(worker.status)), *_age(worker))


def _age(worker: Worker) -> tuple[datetime, str]:
    return worker.last_active, worker.id
