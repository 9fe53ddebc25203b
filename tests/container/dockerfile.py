"""Reads what an engine takes from the last stage of Dockerfile.worker."""

import json
import re

from tests.container.compose import ROOT

TEXT = (ROOT / "Dockerfile.worker").read_text()


def instructions(stage: int = -1) -> list[tuple[str, str]]:
    """Return a stage's instructions and their arguments, lines that go on put together."""
    lines = [line for line in TEXT.splitlines() if not line.strip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    stages = re.split(r"^(?=FROM )", whole, flags=re.MULTILINE)
    found = [line.partition(" ") for line in stages[stage].splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in found]


def one(word: str) -> str:
    """Return the arguments of an instruction that the last stage has once."""
    (found,) = [rest for name, rest in instructions() if name == word]
    return found


def exec_form(text: str) -> list[str]:
    """Return the words of an instruction that starts no shell."""
    found = json.loads(text)
    assert isinstance(found, list), text
    return found


def health_check() -> list[str]:
    """Return the words of the health check."""
    return exec_form(one("HEALTHCHECK").partition("CMD ")[2])


def environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    return dict(re.findall(r"(\w+)=(\S+)", one("ENV")))
