"""Whether the library that the metrics need is there."""

from importlib.util import find_spec

from runtime.errors import ConfigurationError


def needs_metrics(setting: str) -> None:
    """Look whether prometheus-client is installed, without loading it.

    Raises:
        ConfigurationError: it isn't.
    """
    if find_spec("prometheus_client") is None:
        raise ConfigurationError(
            setting,
            "in use, but the package prometheus-client isn't installed",
            'it to be (pip install "brain-worker-pool[metrics]")',
        )
