"""What the codec raises: one base, one class per case that a caller may want to tell apart."""

from attrs import frozen


class MessageError(ValueError):
    """Base of all errors of this package."""


@frozen(slots=False, eq=False)
class MalformedTaskError(MessageError):
    """A body on a queue that is no task.

    Attributes:
        field: the part that is wrong: `body`, or a field's name.
        came: what was found there, in words.
        expected: what belongs there, in words.
        task_id: the task's id where one could be read, so that its producer can be answered.
        task_type: the task's type where one could be read.
    """

    field: str
    came: str
    expected: str
    task_id: str | None = None
    task_type: str | None = None

    def __str__(self) -> str:
        place = "the body" if self.field == "body" else f"field `{self.field}`"
        return f"{place} is {self.came}, expected {self.expected}"


@frozen(slots=False, eq=False)
class UnencodableError(MessageError):
    """A value that has no form in JSON.

    Attributes:
        what: which value it is, in words.
        why: why it can't be written.
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} isn't JSON: {self.why}"
