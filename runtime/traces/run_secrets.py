"""The secrets of a run's payload, for the spans that end in its context."""

from functools import cached_property
from typing import Final

import msgspec
from opentelemetry.context import Context, create_key, get_value, set_value

from messages.redaction import secrets_in

_KEY: Final = create_key("brain-secrets")


class _RunSecrets:
    """Looks for them when the first span ends that may hold one, and then never again."""

    def __init__(self, payload: bytes | msgspec.Raw) -> None:
        self._payload = payload

    @cached_property
    def found(self) -> tuple[str, ...]:
        return secrets_in(self._payload)


def with_secrets(payload: bytes | msgspec.Raw, context: Context) -> Context:
    """Return a context in which the secrets of a payload are known."""
    return set_value(_KEY, _RunSecrets(payload), context)


def secrets_here() -> tuple[str, ...]:
    """Return the secrets of the payload of the run that this is, the longest first."""
    run = get_value(_KEY)
    return run.found if isinstance(run, _RunSecrets) else ()
