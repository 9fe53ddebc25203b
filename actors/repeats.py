"""Lines that a flood would fill the log with: a few of each kind are written, the rest counted.

Whoever may push to a queue decides how many bodies there are that can't be run. Each of them is a
dead letter, whose number is bounded; what is said of them has to be bounded too.
"""

from typing import Final

from attrs import define

_FEW: Final = 20
"""Lines of one kind that are written within one span."""

_SPAN: Final = 10.0
"""Seconds."""


@define
class _Span:
    began: float
    written: int = 0
    withheld: int = 0


class Repeats:
    """Decides which lines are written. There may be only a few kinds: each is remembered."""

    def __init__(self) -> None:
        self._spans: dict[str, _Span] = {}

    def __repr__(self) -> str:
        return f"Repeats({self._spans})"

    def admits(self, kind: str, now: float) -> bool:
        """Say whether a line of this kind is to be written, and count it.

        Args:
            kind: what tells lines of its kind from others.
            now: the time, in seconds of any clock that only goes forward.
        """
        span = self._spans.get(kind)
        if span is None or (now - span.began >= _SPAN and not span.withheld):
            span = self._spans[kind] = _Span(now)
        if span.written < _FEW:
            span.written += 1
            return True
        span.withheld += 1
        return False

    def over(self, now: float, *, end: bool = False) -> dict[str, int]:
        """Return how many lines of each kind were withheld in the spans that are over.

        Each is told once: the next line of that kind begins a new span.

        Args:
            now: the time, as above.
            end: whether all spans are over.
        """
        over = {
            kind: span.withheld
            for kind, span in self._spans.items()
            if span.withheld and (end or now - span.began >= _SPAN)
        }
        for kind in over:
            del self._spans[kind]
        return over
