"""The missions of the demonstration, and when a worker is killed in the middle of them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from runtime.demo import work
from runtime.demo.snapshot import MissionRow, MissionState

COUNT: Final = 6

RANGE: Final = 100_000
"""Numbers that one mission looks at; all missions together look at those below `NUMBERS`."""

NUMBERS: Final = COUNT * RANGE
CAPABILITY: Final = "research"

_STEPS: Final = 20
_PAUSE: Final = 0.35
"""Seconds of rest after each step: a mission takes seven in all, and is halfway at the kill."""

_FAR: Final = 0.3
"""The part of a mission that is done before its worker is killed."""

_QUESTIONS: Final = (
    "What is a prime number?",
    "Why is the sky blue?",
    "What does a supervisor do?",
    "Name three uses of a queue.",
    "What is a heartbeat?",
    "Write a slogan for green tea.",
)
_TOKENS: Final = 48
"""Of a reply, so that six of them are ready in time."""


def missions(*, chats: bool) -> list[tuple[str, dict[str, Any]]]:
    """Return the missions: what each is called, and the task that is delegated."""
    needs = {"required_capabilities": [CAPABILITY]}
    if chats:
        options = {"num_predict": _TOKENS}
        return [
            (question, {"payload": {"message": question, "options": options}, **needs})
            for question in _QUESTIONS
        ]
    return [(_label(number), {**_counting(number), **needs}) for number in range(COUNT)]


def victim(found: Sequence[MissionRow]) -> str | None:
    """Return the worker to be killed now, None if the time hasn't come.

    That is the one with the most missions, once it is well into all of them; of equals the last one
    by name, so that worker-1 is what is left. When all have ended, as short chats may have, it is
    who has answered the last.
    """
    running = [mission for mission in found if mission.state is MissionState.RUNNING]
    if not running and found and all(mission.answer is not None for mission in found):
        return found[-1].worker
    if not running or any(mission.state is MissionState.WAITING for mission in found):
        return None
    counts = Counter(mission.worker for mission in running if mission.worker is not None)
    chosen = max(counts, key=lambda worker: (counts[worker], worker))
    far = all(_is_far(mission) for mission in running if mission.worker == chosen)
    return chosen if far else None


def runs_on(mission: MissionRow, worker: str) -> bool:
    """Say whether a mission runs on that worker."""
    return mission.state is MissionState.RUNNING and mission.worker == worker


def is_safe(mission: MissionRow, dead: str) -> bool:
    """Say whether a mission has left the worker that is dead: it runs elsewhere, or has ended."""
    if mission.state is MissionState.RUNNING:
        return mission.worker != dead
    return mission.state in (MissionState.ANSWERED, MissionState.FAILED)


def in_number(count: int) -> str:
    """Write a number of missions."""
    return "1 mission" if count == 1 else f"{count} missions"


def _label(number: int) -> str:
    return f"{number * RANGE // 1000}k-{(number + 1) * RANGE // 1000}k"


def _counting(number: int) -> dict[str, Any]:
    payload = {
        "start": number * RANGE,
        "stop": (number + 1) * RANGE,
        "steps": _STEPS,
        "pause": _PAUSE,
    }
    return {"type": work.TASK_TYPE, "payload": payload}


def _is_far(mission: MissionRow) -> bool:
    """Say whether a mission is well under way; of a chat nobody knows how long it will be."""
    if mission.done is None:
        return False
    return not mission.total or mission.done / mission.total >= _FAR
