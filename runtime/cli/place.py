"""Which server `push` and `status` mean: they use one that is there, and start none."""

from pathlib import Path

from runtime.errors import ConfigurationError


def find(redis_url: str | None, data_dir: Path) -> str:
    """Return a REDIS_URL: the one that is set, else that of the data directory's private server.

    Raises:
        ConfigurationError: none is set, and no private server runs there.
    """
    if redis_url:
        return redis_url
    # Loaded only here: who has set a URL may do without the private server's package.
    from runtime.embedded.errors import EmbeddedError  # noqa: PLC0415
    from runtime.embedded.sockets import listener  # noqa: PLC0415
    from runtime.embedded.valkey import ValkeyProgram  # noqa: PLC0415

    try:
        program = ValkeyProgram(data_dir)
    except EmbeddedError as error:
        raise ConfigurationError("REDIS_URL", "not set", f"the server's URL: {error}") from None
    if listener(program.socket) is None:
        raise ConfigurationError(
            "REDIS_URL",
            f"not set, and no private server runs in {data_dir}",
            "the server's URL, or a worker that runs here (start one with `python -m runtime`, "
            "or name its --data-dir)",
        )
    return program.url
