"""From a decoded JSON object to the payload that a handler's annotation names.

cattrs builds it; the hook is looked up once, when the handler is registered. JSON's own types
are taken as they are: a string is no number, and 1.5 is no whole number.
"""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, Final, get_origin, is_typeddict

import attrs
from attrs import frozen
from cattrs import BaseValidationError, Converter, StructureHandlerNotFoundError, transform_error
from cattrs.cols import is_any_set, is_mapping, is_sequence
from cattrs.preconf.json import JsonConverter, configure_converter
from loguru import logger

from messages.redaction import MASK, is_telling

_NAMES: Final[dict[type, str]] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class InvalidPayloadError(ValueError):
    """A payload that doesn't fit; the text says which field, what came, what was expected."""


class _UnfitError(ValueError):
    """A value that isn't of the type its place needs."""


@frozen(eq=False)
class PayloadReader:
    """Builds payloads of one type.

    Attributes:
        build: cattrs' hook for the type, or None for a plain dict.
        known: the keys that the type has, or None if any will do.
    """

    build: Callable[[Mapping[str, Any], Any], Any] | None
    known: frozenset[str] | None
    kind: Any = None

    def __call__(self, payload: dict[str, Any]) -> object:
        """Build a payload.

        Raises:
            InvalidPayloadError: it doesn't fit.
        """
        if self.build is None:
            return payload
        try:
            return self.build(payload, self.kind)
        except BaseValidationError as error:
            raise InvalidPayloadError("; ".join(_sentences(error))) from None
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidPayloadError(f"the payload doesn't fit: {error}") from None

    def unknown(self, payload: Mapping[str, Any]) -> frozenset[str]:
        """Return the payload's keys that its type doesn't have."""
        if self.known is None or payload.keys() <= self.known:
            return frozenset()
        return frozenset(payload.keys() - self.known)


def reader_for(annotation: Any) -> PayloadReader | None:
    """Return what builds payloads of the annotated type, or None if none can be built of it."""
    origin = get_origin(annotation) or annotation
    if annotation is Any or annotation is object or annotation in (dict, Mapping):
        return PayloadReader(None, None)
    known: frozenset[str] | None
    if origin in (dict, Mapping):
        known = None
    elif attrs.has(origin):
        known = frozenset(attribute.name for attribute in attrs.fields(origin))
    elif is_dataclass(origin) or is_typeddict(origin):
        known = frozenset(origin.__annotations__)
    else:
        return None
    try:
        build = _converter().get_structure_hook(annotation)
    except StructureHandlerNotFoundError:
        return None
    return PayloadReader(build, known, annotation)


class UnknownKeys:
    """Says once per type and key that producers send what a handler doesn't know."""

    _MOST = 1_000

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def report(self, task_type: str, keys: frozenset[str]) -> None:
        """Log the keys that weren't reported before."""
        for key in sorted(keys):
            if (task_type, key) not in self._said and len(self._said) < self._MOST:
                self._said.add((task_type, key))
                logger.warning(
                    "Payloads of type {} have a key that the handler doesn't know: {!r}; "
                    "it is ignored (said once)",
                    task_type,
                    key[:100],
                )


class _JsonConverter(JsonConverter):
    """Takes arrays only where a sequence belongs, and objects only where a class or mapping does.

    cattrs itself would make a list of a string's letters.
    """

    def get_structure_hook(self, type: Any, cache_result: bool = True) -> Any:  # noqa: A002, FBT001, FBT002 - the signature of the method that it overrides
        hook = super().get_structure_hook(type, cache_result)
        if is_sequence(type) or is_any_set(type):
            return _guarded(hook, list, "an array")
        if attrs.has(get_origin(type) or type) or is_mapping(type) or is_typeddict(type):
            return _guarded(hook, dict, "an object")
        return hook


def _guarded(hook: Callable[..., Any], accepted: type, name: str) -> Callable[..., Any]:
    def structure(value: object, kind: Any) -> Any:
        if not isinstance(value, accepted):
            raise _UnfitError(f"expected {name}, got {_shown(value)}")
        return hook(value, kind)

    return structure


def _converter() -> Converter:
    """Make a converter that takes JSON's types as they are."""
    converter = _JsonConverter(detailed_validation=True)
    configure_converter(converter)
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _strict(kind))
    # `object` says, like `Any`, that any JSON value will do.
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    return converter


def _strict(kind: type) -> Callable[[object, object], object]:
    accepted = (int, float) if kind is float else (kind,)

    def structure(value: object, _: object) -> object:
        if isinstance(value, bool) and kind is not bool:
            raise _UnfitError(f"expected {_NAMES[kind]}, got {str(value).lower()}")
        if not isinstance(value, accepted):
            raise _UnfitError(f"expected {_NAMES[kind]}, got {_shown(value)}")
        return value

    return structure


def _sentences(error: BaseValidationError) -> list[str]:
    return [_sentence(text) for text in transform_error(error, format_exception=_explain)]


def _sentence(text: str) -> str:
    """Say where something is wrong in a payload; what lies under a telling key isn't quoted.

    Here the whole key is known, and nothing has been shortened yet.
    """
    what, separator, path = text.rpartition(" @ $")
    if not separator:
        return text
    before, got, _ = what.partition(", got ")
    if got and is_telling(path):
        what = f"{before}{got}{MASK}"
    return f"{what} at payload{path}"


def _explain(error: BaseException, kind: type | None) -> str:
    match error:
        case _UnfitError():
            return str(error)
        case KeyError():
            return f"the field `{error.args[0]}` is missing"
        case TypeError():
            return f"expected {getattr(kind, '__name__', kind) or 'another type'}"
        case _:
            return str(error) or type(error).__name__


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"  # noqa: PLR2004 - fits on a line
