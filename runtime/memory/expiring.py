"""Values that are gone after a while."""

from attrs import frozen


@frozen(eq=False)
class Expiring:
    """A value that is gone after a while.

    Attributes:
        value: its bytes.
        until: when it is gone, in seconds of the store's clock.
    """

    value: bytes
    until: float


def alive(values: dict[str, Expiring], name: str, now: float) -> bytes | None:
    """Return a value, unless it is gone; one that is gone is dropped."""
    one = values.get(name)
    if one is not None and now >= one.until:
        del values[name]
        return None
    return None if one is None else one.value
