"""The span that is current, if anything in this process traces.

Who traces has loaded OpenTelemetry's API; if nobody has, there is no span, and nothing is loaded
to find that out. (redis-py loads it, too, where it is installed, so that it is there says little.)
"""

import sys
from types import ModuleType
from typing import Final

_NOTHING: Final[dict[str, str]] = {}


def tracing_api() -> ModuleType | None:
    """Return `opentelemetry.trace`, if this process traces or is within a span."""
    api = _trace_api()
    if api is None:
        return None
    within = api.get_current_span().get_span_context().is_valid
    nobodys = isinstance(api.get_tracer_provider(), api.ProxyTracerProvider)
    return None if nobodys and not within else api


def _trace_api() -> ModuleType | None:
    module = sys.modules.get("opentelemetry.trace")
    # While another thread is loading it, its last names aren't there yet.
    return module if hasattr(module, "use_span") else None


def current_ids() -> dict[str, str]:
    """Return the ids of the current span and its trace, as they are written; else nothing."""
    api = _trace_api()
    if api is None:
        return _NOTHING
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return _NOTHING
    return {
        "trace_id": api.format_trace_id(context.trace_id),
        "span_id": api.format_span_id(context.span_id),
    }
