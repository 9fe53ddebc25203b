"""What a worker has answered in the last minute, by queue.

Counted in slices of five seconds, so that it costs the same however many tasks there are; the
minute is therefore one of 55 to 60 s.
"""

from collections import deque
from typing import Final

from attrs import define, field

from messages import Answered

SPAN: Final = 60.0
"""Seconds that are looked back on."""

_SLICE: Final = 5.0
"""Seconds that are counted together."""


@define(eq=False)
class _Count:
    tasks: int = 0
    failed: int = 0
    ran: int = 0
    seconds: float = 0.0


@define(eq=False)
class _Slice:
    number: int
    counts: dict[str, _Count] = field(factory=dict)


class Recent:
    """Answers of the last minute; the times are those of the event loop's clock, in seconds."""

    def __init__(self) -> None:
        self._slices: deque[_Slice] = deque(maxlen=int(SPAN / _SLICE))

    def __repr__(self) -> str:
        return f"Recent({len(self._slices)} slices)"

    def note(  # noqa: PLR0913 - what is counted, by keyword
        self,
        queue: str,
        now: float,
        *,
        tasks: int = 1,
        failed: int = 0,
        ran: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Note answers.

        Args:
            queue: where the tasks came from.
            now: the time.
            tasks: how many were answered.
            failed: how many of them failed.
            ran: how many of them had a handler that ran.
            seconds: that these handlers ran in all.
        """
        number = int(now / _SLICE)
        slices = self._slices
        if not slices or slices[-1].number != number:
            slices.append(_Slice(number))
        counts = slices[-1].counts
        count = counts.get(queue)
        if count is None:
            count = counts[queue] = _Count()
        count.tasks += tasks
        count.failed += failed
        count.ran += ran
        count.seconds += seconds

    def answered(self, now: float) -> dict[str, Answered]:
        """Return what was answered in the last minute, by queue."""
        oldest = int(now / _SLICE) - int(SPAN / _SLICE)
        sums: dict[str, _Count] = {}
        for part in self._slices:
            if part.number <= oldest:
                continue
            for queue, count in part.counts.items():
                total = sums.setdefault(queue, _Count())
                total.tasks += count.tasks
                total.failed += count.failed
                total.ran += count.ran
                total.seconds += count.seconds
        return {
            queue: Answered(total.tasks, total.failed, total.ran, round(total.seconds, 6))
            for queue, total in sums.items()
        }
