"""What a payload's texts and JSON may hold: refused here in words, before PostgreSQL refuses it.

PostgreSQL stores neither NUL nor lone surrogates, and its JSON knows no NaN and no infinity.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from actors import Reject

MAX_ID: Final = 64
MAX_NAME: Final = 200
MAX_TEXT: Final = 100_000
MAX_ENTRIES: Final = 100
MAX_JSON_CHARACTERS: Final = 64 * 1024
MAX_DEPTH: Final = 32


def identifier(field: str, value: str) -> str:
    """Return a row's id if it can be one.

    Raises:
        Reject: It is empty, too long, or holds what PostgreSQL can't store.
    """
    return _text(field, value, MAX_ID)


def name(field: str, value: str) -> str:
    """Return a text for people if it is one.

    Raises:
        Reject: It is empty, too long, or holds what PostgreSQL can't store.
    """
    return _text(field, value, MAX_NAME)


def message(field: str, value: str) -> str:
    """Return something that is said if it is one.

    Raises:
        Reject: It is empty, too long, or holds what isn't text.
    """
    return _text(field, value, MAX_TEXT)


def text(field: str, value: str) -> str:
    """Return a text, which may be empty, if it is one.

    Raises:
        Reject: It is too long, or holds what isn't text.
    """
    return _text(field, value, MAX_TEXT) if value.strip() else value


def names(field: str, values: list[str]) -> list[str]:
    """Return a list of texts if it is one.

    Raises:
        Reject: It is too long, or one of its entries can't be stored.
    """
    if len(values) > MAX_ENTRIES:
        raise Reject(f"{field} has {len(values)} entries; expected at most {MAX_ENTRIES}.")
    return [name(f"{field}[{index}]", value) for index, value in enumerate(values)]


def json_object(field: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object if it can be stored.

    Raises:
        Reject: It is nested too deeply, too large, or holds what PostgreSQL can't store.
    """
    for path, leaf in _leaves(field, value, 0):
        if isinstance(leaf, str):
            _storable(path, leaf)
        elif isinstance(leaf, float) and not math.isfinite(leaf):
            raise Reject(f"{path} is {leaf}; expected a finite number.")
    if (size := len(json.dumps(value))) > MAX_JSON_CHARACTERS:
        raise Reject(
            f"{field} is {size} characters of JSON; expected at most {MAX_JSON_CHARACTERS}."
        )
    return value


def _text(field: str, value: str, limit: int) -> str:
    if not value.strip():
        raise Reject(f"{field} is empty; expected a text of 1 to {limit} characters.")
    if len(value) > limit:
        raise Reject(f"{field} has {len(value)} characters; expected at most {limit}.")
    _storable(field, value)
    return value


def _storable(field: str, value: str) -> None:
    if "\0" in value:
        raise Reject(
            f"{field} contains a NUL character (\\u0000), which the database can't store; "
            "leave it out."
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Reject(f"{field} contains half a surrogate pair, which isn't a character.")


def _leaves(path: str, value: object, depth: int) -> Iterator[tuple[str, object]]:
    if depth > MAX_DEPTH:
        raise Reject(f"{path} is nested more than {MAX_DEPTH} levels deep; flatten it.")
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"a key of {path}", key
            yield from _leaves(f"{path}.{key}", item, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item, depth + 1)
    else:
        yield path, value
