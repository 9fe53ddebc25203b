"""Reads Compose files as an engine does: variables filled in, one file merged over the other."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})"
)


class MissingVariableError(Exception):
    """A variable that a file needs isn't set."""


def read(*files: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the project that the files make, each over those before it."""
    project: dict[str, Any] = {}
    for file in files:
        found = yaml.safe_load((ROOT / file).read_text())
        project = _merged(project, _filled(found, variables))
    return project


def variables_in(file: str) -> set[str]:
    """Return the names of the variables that a file asks for."""
    found = _VARIABLE.finditer((ROOT / file).read_text())
    return {match["name"] for match in found if match["name"]}


def settings(text: str) -> dict[str, str]:
    """Return what a file such as `.env.example` sets, lines that are commented out included."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as 45s."""
    assert duration.endswith("s"), duration
    return float(duration.removesuffix("s"))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: _filled(inner, variables) for key, inner in value.items()}
        case list():
            return [_filled(inner, variables) for inner in value]
        case str():
            return _VARIABLE.sub(lambda found: _value(found, variables), value)
        case _:
            return value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = variables.get(found["name"], "")
    if found["kind"] == "?" and not value:
        raise MissingVariableError(f"{found['name']}: {found['rest']}")
    return value or (found["rest"] if found["kind"] == "-" else "")


def _merged(below: Any, above: Any) -> Any:
    """Lay one file over another: maps are merged, and networks are; other lists are replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {
            key: _merged(below[key], value) if key in below else value
            for key, value in above.items()
        }
    return above
