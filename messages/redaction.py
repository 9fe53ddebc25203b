"""Keeping secrets out of what the pool writes itself: errors, tracebacks, logs, screens.

Three rules, from the surest to the one that guesses:

1. What lies in a payload under a telling key (`password`, `token`, `api_key`, …) is taken out of
   every text about that payload, wherever it stands in it: `secrets_in` finds it.
2. What stands before the `@` of a URL is taken out of every text.
3. What follows a telling name in a text (`password=…`, `"token": "…"`, `Authorization: …`) is
   taken out of it.

A task's own bytes are never touched (I8), nor is what a handler returns. Nothing here runs for a
task that succeeds. Each expression's repetitions are bounded: texts come from producers, and one
made for the purpose may not hold a worker up.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

MASK: Final = "***"

_SHORTEST: Final = 4
"""Characters below which a secret is looked for by its key alone: it would be found in any text."""

_MOST: Final = 1_000
"""Secrets of one payload that are looked for."""

_NAME: Final = (
    r"(?:pass(?:word|wd|phrase|code)|\bpwd|_pwd|secret(?!ar)|token(?!s|i)|(?<![a-z_-])tokens\b"
    r"|(?:access|refresh|api|auth|bearer|session)[_-]?tokens|(?:api|access|private|signing|secret)"
    r"[_-]?keys?|authori[sz]ation|credential|cookie)"
)
"""What makes a key's name tell of a secret. `max_tokens` and the like count, and tell of none."""

_TELLING: Final = re.compile(_NAME, re.IGNORECASE)
_MARKS: Final = ("pass", "pwd", "secret", "token", "key", "author", "credential", "cookie")
"""Whatever a telling name holds: most texts hold none of them, and are let through at once."""

_URL: Final = re.compile(
    # A password that isn't quoted as it should be may hold a slash; a port holds digits only.
    r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)"
    r"(?:[^\s/@:?#]{0,200}:(?!\d{1,5}(?:[/?#\s'\"]|$))\S{0,500}@|[^\s/@?#]{1,500}@)",
    re.IGNORECASE,
)
_QUOTED: Final = r"\"(?:[^\"\\]|\\.)*(?:\"|$)|'(?:[^'\\]|\\.)*(?:'|$)"
_ASSIGNED: Final = re.compile(
    rf"(?P<name>{_NAME}[\w-]{{0,40}}\\?[\"']?\]?\s{{0,5}}(?:=>|[:=])\s{{0,5}})"
    rf"(?P<value>\\\"(?:[^\"\\]|\\[^\"])*(?:\\\"|$)|b?(?:{_QUOTED})|\[[^\]]*\]?|\{{[^}}]*\}}?"
    r"|(?:bearer|basic|token|digest)\s+[^\s,;'\"]+"
    r"|(?!(?:expected|missing|required|must|is|isn't|invalid|null|none|true|false)\b)"
    r"[^\s,;&'\"()\[\]{}]+)",
    re.IGNORECASE,
)
_GOT: Final = re.compile(
    rf"(?P<name>{_NAME}[^;\n]{{0,200}}?\b(?:got|found|came|not)\s+)(?P<value>{_QUOTED}|[\w.+-]+)",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(?P<kind>bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)


def is_telling(key: str) -> bool:
    """Say whether what lies under a key is a secret."""
    return _TELLING.search(key) is not None


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """Return a text without what is secret in it.

    Args:
        text: what is to be written or shown.
        secrets: what is known to be secret, the longest first, as `secrets_in` returns it.
    """
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    if "://" in text and "@" in text:
        text = _URL.sub(rf"\g<scheme>{MASK}@", text)
    lowered = text.lower()
    if any(mark in lowered for mark in _MARKS):
        text = _ASSIGNED.sub(_masked, text)
        text = _GOT.sub(_masked, text)
    if "bearer " in lowered or "basic " in lowered:
        text = _BEARER.sub(rf"\g<kind> {MASK}", text)
    return text


def secrets_in(payload: bytes | msgspec.Raw) -> tuple[str, ...]:
    """Return what a payload holds under telling keys, in each form that a text may quote it in.

    The longest come first, so that no part of one is left. A payload that isn't JSON has none.
    """
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()
    try:
        return known_secrets(_under_telling_keys(value))
    except RecursionError:
        return ()


def known_secrets(values: Iterable[str]) -> tuple[str, ...]:
    """Return secrets as `redact` takes them: in each form, the longest first."""
    found: set[str] = set()
    for value in values:
        if len(found) >= _MOST:
            break
        found.update(_forms(value))
    return tuple(sorted(found, key=lambda one: (-len(one), one)))


def redact_value(value: Any) -> Any:
    """Return a JSON value as it may be shown: what lies under telling keys is masked."""
    match value:
        case dict():
            return {
                key: MASK if is_telling(key) and inner not in (None, "") else redact_value(inner)
                for key, inner in value.items()
            }
        case list():
            return [redact_value(one) for one in value]
        case str():
            return redact(value)
        case _:
            return value


def redact_body(raw: bytes) -> str:
    """Return a task's body as it may be shown; one without secrets is shown as it is."""
    text = raw.decode(errors="backslashreplace")
    try:
        value = json.loads(raw)
        shown = redact_value(value)
    except (ValueError, RecursionError):
        return redact(text)
    if shown == value:
        return text
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def _masked(found: re.Match[str]) -> str:
    """Mask a value, within the quotes that it has: what was JSON stays JSON."""
    value = found["value"]
    quote = '\\"' if value.startswith('\\"') else value[0] if value[0] in "\"'" else ""
    return f"{found['name']}{quote}{MASK}{quote}"


def _under_telling_keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if is_telling(key):
                yield from _leaves(inner)
            else:
                yield from _under_telling_keys(inner)
    elif isinstance(value, list):
        for one in value:
            yield from _under_telling_keys(one)
    elif isinstance(value, str) and "://" in value and "@" in value:
        for found in _URL.finditer(value):
            login = found.group().removeprefix(found["scheme"])[:-1]
            yield login.partition(":")[2] or login


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield repr(value)


def _forms(value: str) -> Iterator[str]:
    """Return a secret as it is, as JSON quotes it, and as Python quotes each of these."""
    if len(value.strip()) < _SHORTEST:
        return
    plain = json.dumps(value, ensure_ascii=False)[1:-1]
    for form in (value, value.strip(), json.dumps(value)[1:-1], plain):
        yield form
        # Python escapes a single quote only where the text holds double ones as well.
        quoted = repr(form)[1:-1]
        yield quoted
        yield quoted.replace("\\'", "'").replace("'", "\\'")
