"""What `runtime` raises on purpose: one base, one class per case that a caller may tell apart.

Each says in one sentence what came, what was expected and what to do, and never holds a password.
"""

from attrs import frozen


class PoolError(Exception):
    """Base of the errors that people and programs are meant to handle."""


@frozen(slots=False, eq=False)
class ConfigurationError(PoolError, ValueError):
    """A setting that can't be used.

    Attributes:
        setting: its name, as the user writes it.
        came: what was found there, in words and without secrets.
        expected: what belongs there, in words.
    """

    setting: str
    came: str
    expected: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.came}, expected {self.expected}"


@frozen(slots=False, eq=False)
class ServerUnreachableError(PoolError, ConnectionError):
    """No usable connection to the Redis server; the request wasn't sent, or did only read.

    Attributes:
        address: the server, without password.
        reason: what failed, in words.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        return f"The Redis server at {self.address} can't be reached: {self.reason}"


@frozen(slots=False, eq=False)
class ServerRefusedError(PoolError):
    """A Redis server that this pool can't work with.

    Attributes:
        reason: what it is or lacks and what to do about it, in words.
    """

    reason: str

    def __str__(self) -> str:
        return f"The Redis server can't be used: {self.reason}"


@frozen(slots=False, eq=False)
class RequestRefusedError(PoolError):
    """The server answered that it won't do what was asked; it has changed nothing.

    Attributes:
        request: what was asked, in words.
        address: the server, without password.
        reason: its answer, in words.
        queued: ids of an earlier part of the same `push_many` that are on the queue.
    """

    request: str
    address: str
    reason: str
    queued: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = f"; {len(self.queued)} earlier tasks of this call are queued" if self.queued else ""
        return f"The Redis server at {self.address} refused to {self.request}: {self.reason}{done}"


@frozen(slots=False, eq=False)
class PushUncertainError(PoolError, ConnectionError):
    """The connection failed while tasks were on the wire: they may be queued or not.

    Attributes:
        task_ids: the tasks in doubt; all of them are queued, or none is.
        queue: where they were pushed to.
        address: the server, without password.
        reason: what failed, in words.
        queued: ids of an earlier part of the same `push_many` that are on the queue.
    """

    task_ids: tuple[str, ...]
    queue: str
    address: str
    reason: str
    queued: tuple[str, ...] = ()

    @property
    def task_id(self) -> str:
        """The first task in doubt; the only one of a `push_task`."""
        return self.task_ids[0]

    def __str__(self) -> str:
        more = len(self.task_ids) - 1
        which = f"task {self.task_id}" + (f" and {more} more" if more else "")
        return (
            f"Nobody can tell whether {which} reached the queue {self.queue}, for the connection "
            f"to {self.address} failed meanwhile ({self.reason}): look for a result, or push "
            "again with the same task_id if its handler is idempotent; a push with task_id and "
            "unique_for can always be repeated"
        )


@frozen(slots=False, eq=False)
class InvalidTaskError(PoolError, ValueError):
    """A task, or a part of it, that can't be sent; nothing was.

    Attributes:
        field: the argument that is wrong.
        came: what was found there, in words.
        expected: what belongs there, in words.
    """

    field: str
    came: str
    expected: str

    def __str__(self) -> str:
        return f"Nothing was sent: the task's {self.field} is {self.came}, expected {self.expected}"


@frozen(slots=False, eq=False)
class ResultTimeoutError(PoolError, TimeoutError):
    """No result has come in time; the task may still be waiting or running.

    Attributes:
        task_id: the task.
        timeout: how long was waited, in seconds.
        trouble: why the server is out of reach just now; None if it is in reach.
    """

    task_id: str
    timeout: float
    trouble: str | None = None

    def __str__(self) -> str:
        why = f" (the Redis server is out of reach: {self.trouble})" if self.trouble else ""
        return (
            f"Task {self.task_id} has no result after {self.timeout:g} s{why}: wait longer, or "
            "look whether a worker serves its queue"
        )


@frozen(slots=False, eq=False)
class UnreadableResultError(PoolError, ValueError):
    """What lies where a task's result belongs is no result.

    Attributes:
        task_id: the task.
        key: where it lies.
    """

    task_id: str
    key: str

    def __str__(self) -> str:
        return (
            f"The result of task {self.task_id} can't be read: the key {self.key} doesn't hold a "
            "JSON object, so something other than a worker wrote it"
        )


class QueueClosedError(PoolError):
    """The `TaskQueue` was closed by another task while this one waited for a result."""

    def __str__(self) -> str:
        return "The task queue was closed while a result was awaited"
