"""What a task carries of the span that pushed it."""

from typing import Final, NamedTuple


class Carrier(NamedTuple):
    """A span's context, in the forms of W3C's headers of the same names.

    Attributes:
        traceparent: trace, span and whether they are sampled; None if there is no span.
        tracestate: what the systems on the way have added; None if nothing.
    """

    traceparent: str | None = None
    tracestate: str | None = None


NO_CARRIER: Final = Carrier()
