"""Keeps secrets out of the spans that leave this process: see `messages.redaction`.

What a handler calls makes spans of its own, with statements, addresses, texts of errors and stack
traces, written by libraries that know nothing of the task. So every text of a span is looked
through when it ends, before it waits for the collector. The secrets of the task's payload are
found by the context in which the span ends, and only once a run.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Link, Status

from messages.redaction import MASK, is_telling, redact
from runtime.traces.run_secrets import secrets_here

if TYPE_CHECKING:
    from opentelemetry.context import Context

_is_telling: Final = lru_cache(maxsize=1_000)(is_telling)
"""The names of attributes are few."""


class Concealing(SpanProcessor):
    """Hands spans on without what is secret in them.

    Args:
        further: where they go.
        secrets: what no span may hold, the longest first.
    """

    def __init__(self, further: SpanProcessor, secrets: Sequence[str] = ()) -> None:
        self._further = further
        self._secrets = tuple(secrets)

    def on_start(self, span: Span, parent_context: "Context | None" = None) -> None:
        """Hear that a span begins."""
        self._further.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hear that a span has ended, in the thread and the context in which it does."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        secrets = (*secrets_here(), *self._secrets)
        self._further.on_end(concealed(span, lambda text: redact(text, secrets)))

    def shutdown(self) -> None:
        """Hand on what is left."""
        self._further.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand on what waits."""
        return self._further.force_flush(timeout_millis)


def concealed(span: ReadableSpan, hide: Callable[[str], str]) -> ReadableSpan:
    """Return a span as it may leave: itself, or one that looks alike.

    Args:
        span: one that has ended.
        hide: takes secrets out of a text.
    """
    if _is_clean(span, hide):
        return span
    return ReadableSpan(
        name=hide(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_attributes(span.attributes, hide),
        events=[
            Event(hide(event.name), _attributes(event.attributes, hide), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context, _attributes(link.attributes, hide)) for link in span.links],
        kind=span.kind,
        status=_status(span.status, hide),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _is_clean(span: ReadableSpan, hide: Callable[[str], str]) -> bool:
    """Say whether a span surely holds no secret: one look at all its texts, as nearly all are."""
    events, links = span.events, span.links
    texts = [span.name, span.status.description or "", *(event.name for event in events)]
    said = [span.attributes, *(event.attributes for event in events)]
    said.extend(link.attributes for link in links)
    for key, value in ((key, value) for one in said if one for key, value in one.items()):
        if isinstance(value, str):
            if _is_telling(key):
                return False
            texts.append(value)
        elif not isinstance(value, int | float):
            return False
    together = "\n".join(texts)
    return hide(together) == together


def _status(status: Status, hide: Callable[[str], str]) -> Status:
    text = status.description
    return Status(status.status_code, hide(text)) if text else status


def _attributes(attributes: Mapping[str, Any] | None, hide: Callable[[str], str]) -> dict[str, Any]:
    return {key: _shown(key, value, hide) for key, value in (attributes or {}).items()}


def _shown(key: str, value: object, hide: Callable[[str], str]) -> object:
    """Return a value as it may leave; captured headers have telling keys, and lists as values."""
    if isinstance(value, str):
        return MASK if _is_telling(key) else hide(value)
    if isinstance(value, bytes):
        text = value.decode(errors="backslashreplace")
        shown = _shown(key, text, hide)
        return value if shown == text else shown
    if isinstance(value, Mapping):
        return {name: _shown(f"{key}.{name}", inner, hide) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return tuple(_shown(key, one, hide) for one in value)
    return value
