"""Loads: what is pushed when, and how long each task takes; the same at each run."""

import csv
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

_RECORDED = Path(__file__).parent / "recorded.csv"


@frozen
class Load:
    """A load.

    Attributes:
        name: for people.
        seconds: how long it lasts.
        tasks: when each is pushed, and how long it takes, in seconds.
    """

    name: str
    seconds: float
    tasks: tuple[tuple[float, float], ...]


def loads() -> tuple[Load, ...]:
    """Return all loads."""
    chance = random.Random(6)
    return (
        _random("steady", 900, chance, lambda _: 20.0, 20.0, 0.2),
        _random("steps", 1800, chance, lambda at: 40.0 if 600 <= at < 1200 else 4.0, 40.0, 0.2),
        _bursts(chance),
        _random(
            "a day in an hour",
            3600,
            chance,
            lambda at: 1.0 + 14.0 * (1 - math.cos(2 * math.pi * at / 3600)) / 2,
            15.0,
            0.6,
        ),
        _random("long tasks", 1800, chance, lambda at: 0.4 if at < 900 else 0.05, 0.4, 20.0),
        _wandering(chance),
        recorded(),
    )


def recorded(path: Path = _RECORDED) -> Load:
    """Read a load that was recorded: a line a task, when it was pushed and how long it took."""
    with path.open(newline="") as file:
        rows = [(float(row["pushed_s"]), float(row["took_s"])) for row in csv.DictReader(file)]
    rows.sort()
    return Load("recorded", math.ceil(rows[-1][0]), tuple(rows))


def _random(  # noqa: PLR0913, PLR0917 - a load's figures
    name: str,
    seconds: float,
    chance: random.Random,
    rate: Callable[[float], float],
    most: float,
    took: float,
) -> Load:
    """Make a Poisson process whose rate changes, with times that are distributed exponentially."""

    def pushes() -> Iterator[tuple[float, float]]:
        at = 0.0
        while (at := at + chance.expovariate(most)) < seconds:
            if chance.random() * most < rate(at):
                yield at, chance.expovariate(1 / took)

    return Load(name, seconds, tuple(pushes()))


def _bursts(chance: random.Random) -> Load:
    """Make 600 tasks at once every three minutes, above a trickle."""
    trickle = _random("", 1800, chance, lambda _: 1.0, 1.0, 0.1).tasks
    bursts = [
        (60.0 + 180 * number, chance.expovariate(1 / 0.1))
        for number in range(10)
        for _ in range(600)
    ]
    return Load("bursts", 1800, tuple(sorted([*trickle, *bursts])))


def _wandering(chance: random.Random) -> Load:
    """Make a rate that jumps every 20 to 120 s, with few tasks that take most of the time."""
    changes, at = list[tuple[float, float]](), 0.0
    while at < 1800:
        changes.append((at, chance.choice([0.2, 2.0, 5.0, 10.0, 20.0])))
        at += chance.uniform(20, 120)

    def rate(now: float) -> float:
        return next(rate for since, rate in reversed(changes) if since <= now)

    base = _random("random", 1800, chance, rate, 20.0, 1.0).tasks
    # A log-normal time of the mean 0.4 s: most are short, a few take many seconds.
    tasks = tuple((pushed, chance.lognormvariate(-1.92, 1.42)) for pushed, _ in base)
    return Load("random", 1800, tasks)
