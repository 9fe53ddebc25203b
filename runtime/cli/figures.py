"""How durations, sizes and rates are shown: in few characters."""

from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60))
_SIZES: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_EXACT: Final = 10
"""Rates from which on no decimal is shown."""


def age(seconds: float) -> str:
    """Write a duration with at most two units: 3 s, 4 m 10 s, 2 h 5 m, 3 d 4 h."""
    left = int(seconds)
    for place, (unit, size) in enumerate(_UNITS):
        if left >= size:
            smaller = (*_UNITS, ("s", 1))[place + 1]
            return f"{left // size} {unit} {left % size // smaller[1]} {smaller[0]}"
    return f"{left} s"


def size(count: int | None) -> str:
    """Write a number of bytes: 512 B, 87 MiB, 1.2 GiB; nothing if it isn't known."""
    if count is None:
        return ""
    for unit, least in _SIZES:
        if count >= least:
            parts = count / least
            return f"{parts:.1f} {unit}" if unit == "GiB" else f"{parts:.0f} {unit}"
    return f"{count} B"


def rate(per_second: float | None) -> str:
    """Write how many a second: 0, 0.4, 12, 1,200; nothing if it isn't known."""
    if per_second is None:
        return ""
    if not per_second:
        return "0"
    return f"{per_second:.1f}" if per_second < _EXACT else f"{per_second:,.0f}"
