"""`OLLAMA_HOST` in each form that Ollama accepts: a plain function, no server."""

import pytest

from runtime.brain.ollama_settings import parse_host
from runtime.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("1.2.3.4:", "http://1.2.3.4:11434"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - not bound
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("[::]:80", "http://[::1]:80"),
        ("[::1]:1337", "http://[::1]:1337"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        (" ' 1.2.3.4 ' ", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321/", "https://1.2.3.4:4321"),
        ("HTTPS://example.com", "https://example.com:443"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("example.com/ollama/", "http://example.com:11434/ollama"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_each_form_leads_to_the_server(text: str, url: str) -> None:
    """What Ollama itself reads from `OLLAMA_HOST` is where its API is asked."""
    assert parse_host(text) == url


@pytest.mark.parametrize(
    "text",
    [
        ":66000",
        ":-1",
        ":0",
        "host:port",
        "ftp://host",
        "[::1",
        "[host]:80",
        "[::1]80",
        "1:2:3",
        "a b",
        "http://host?x=1",
        "host/a b",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """One sentence names the setting, what came and what belongs there."""
    with pytest.raises(ConfigurationError) as caught:
        parse_host(text)
    assert str(caught.value).startswith(f"OLLAMA_HOST is {text!r}, expected host, host:port, ")


def test_a_password_is_not_shown() -> None:
    """An address with a user in it is refused without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        parse_host("https://me:geheim@example.com")
    assert "geheim" not in str(caught.value)
