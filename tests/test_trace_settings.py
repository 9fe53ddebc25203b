import pytest

from runtime.errors import ConfigurationError
from runtime.traces.settings import BASE, EXACT, endpoint

HERE = "http://localhost:4318"


@pytest.mark.parametrize(
    ("chosen", "environment", "url"),
    [
        (None, {}, None),
        (HERE, {}, f"{HERE}/v1/traces"),
        (f"{HERE}/", {}, f"{HERE}/v1/traces"),
        (None, {EXACT: "https://there/spans"}, "https://there/spans"),
        (HERE, {BASE: HERE, EXACT: "https://there/spans"}, "https://there/spans"),
        (HERE, {BASE: "http://elsewhere", EXACT: "https://there/spans"}, f"{HERE}/v1/traces"),
        (HERE, {"OTEL_SDK_DISABLED": "true"}, None),
        (HERE, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, f"{HERE}/v1/traces"),
    ],
)
def test_where_traces_go(chosen: str | None, environment: dict[str, str], url: str | None) -> None:
    """Nowhere unless somebody says so; an option before the environment, the exact URL first."""
    assert endpoint(chosen, environment) == url


@pytest.mark.parametrize(
    "chosen", ["secret@there:4318", "grpc://a:secret@b", "http://", "http://secret@[b"]
)
def test_what_is_no_url_is_named_and_not_shown(chosen: str) -> None:
    """An address that nothing can be sent to is refused by the option's name, without its text."""
    with pytest.raises(ConfigurationError, match="--traces is no URL") as caught:
        endpoint(chosen, {})
    assert "secret" not in str(caught.value)


def test_another_protocol_is_refused() -> None:
    """Who asks for OTLP over gRPC is told that it is HTTP here."""
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"):
        endpoint(HERE, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
