import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.redaction import (
    MASK,
    is_telling,
    known_secrets,
    redact,
    redact_body,
    redact_value,
    secrets_in,
)

SECRET = "hunter2-o'Neil"  # noqa: S105 - of a test


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Password",
        "db_password",
        "userPassword",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "client_secret",
        "token",
        "access_token",
        "auth_tokens",
        "tokens",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "Authorization",
        "private_key",
        "credentials",
        "Set-Cookie",
    ],
)
def test_telling_keys(key: str) -> None:
    """A key tells of a secret in any case, alone or as a part of a longer name."""
    assert is_telling(key)


@pytest.mark.parametrize(
    "key", ["message", "author", "secretary", "max_tokens", "tokenizer", "key", "passage", "spwds"]
)
def test_keys_that_tell_nothing(key: str) -> None:
    """What only looks like such a key is shown: a count of tokens is no secret."""
    assert not is_telling(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"password": "hunter2", "b": 1}', '{"password": "***", "b": 1}'),
        ("{'Password': 'hun\\'ter2'}", "{'Password': '***'}"),
        ("Login(user='a', password='hunter2')", "Login(user='a', password='***')"),
        ("password=hunter2&x=1", "password=***&x=1"),
        ("d['api_key']='hunter2'", "d['api_key']='***'"),
        ('in a string: {\\"token\\": \\"hunter2\\"}', 'in a string: {\\"token\\": \\"***\\"}'),
        ("Authorization: Bearer hunter2.hunter2", "Authorization: ***"),
        ("sent Bearer hunter2.hunter2", "sent Bearer ***"),
        ("{'token': ['hunter2', 'hunter2']}", "{'token': ***}"),
        ("password: expected a number, got 'hunter2'", "password: expected a number, got '***'"),
        ("redis://bob:hunter2@h:6379/0 is gone", "redis://***@h:6379/0 is gone"),
        ("postgresql+asyncpg://u:hun/t@er2@h/db", "postgresql+asyncpg://***@h/db"),
        ("http://hunter2@h/x", "http://***@h/x"),
        ("rediss://h?ssl_password=hunter2&db=1", "rediss://h?ssl_password=***&db=1"),
        ("an unfinished 'token': 'hunter2…", "an unfinished 'token': '***'"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    """In a text, a secret is found by the name before it or by the URL around it."""
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Processing task 7f0c",
        "the field `password` is missing",
        "it refuses the user name or the password in REDIS_URL",
        "its access rules forbid it (User worker has no permissions to access a key)",
        "https://host:8080/path?mail=a@b",
        "payload.max_tokens: expected a whole number, got 'many'",
        "redis://localhost:6379/0",
    ],
)
def test_texts_without_secrets(text: str) -> None:
    """A text without a secret stays as it is."""
    assert redact(text) == text


def test_a_payloads_secrets_are_known_wherever_they_stand() -> None:
    """What lies under a telling key, however deep, is found in any text and in each quoting."""
    payload = {"a": [{"login": {"Password": SECRET}}], "token": [12345678, {"x": "deep-one"}]}
    secrets = secrets_in(json.dumps(payload).encode())
    for quoted in (SECRET, repr(SECRET), json.dumps(SECRET), repr(json.dumps({"p": SECRET}))):
        assert "hunter2" not in redact(f"no login with {quoted} today", secrets)
    assert redact("12345678 and deep-one", secrets) == f"{MASK} and {MASK}"


def test_a_url_in_a_payload_has_its_password_hidden() -> None:
    """The password of a URL in a payload is known, also where the text names no URL."""
    secrets = secrets_in(b'{"target": "https://bob:hunter2@host/x"}')
    assert redact("the login hunter2 was refused", secrets) == f"the login {MASK} was refused"


def test_what_is_too_short_is_not_hunted_for() -> None:
    """A secret of three letters would be found in any text: it is hidden by its key alone."""
    secrets = secrets_in(b'{"password": "e"}')
    assert redact("the message", secrets) == "the message"
    assert redact("password='e'", secrets) == "password='***'"


@given(st.binary(max_size=200))
def test_any_payload(payload: bytes) -> None:
    """Bytes that are no JSON hold no known secret, and are no error."""
    assert isinstance(secrets_in(payload), tuple)
    assert isinstance(redact_body(payload), str)


@given(st.text(max_size=200))
def test_redacting_again_changes_nothing(text: str) -> None:
    """What was redacted once stays as it is, so several places may do it."""
    once = redact(text)
    assert redact(once) == once


@given(
    st.text(string.ascii_letters + string.digits + "\"'\\/ ü\n", min_size=4, max_size=30).filter(
        lambda text: len(text.strip()) >= 4
    )
)
def test_any_secret(secret: str) -> None:
    """Whatever a password is made of, no text that quotes it shows it."""
    # Letters of the mask's and the text's own would prove nothing.
    secret = f"zq{secret}zq"
    secrets = known_secrets([secret])
    for text in (secret, repr(secret), json.dumps(secret), str({"x": secret})):
        assert "zq" not in redact(f"<{text}>", secrets)


def test_values_and_bodies() -> None:
    """A body is shown with its secrets masked, and byte for byte if it has none."""
    assert redact_value({"password": None, "token": ""}) == {"password": None, "token": ""}
    assert redact_body(b'{"id": "1",  "payload": {}}') == '{"id": "1",  "payload": {}}'
    shown = redact_body(b'{"id": "1", "payload": {"n": [{"secret": "x"}], "u": "http://a:b@c"}}')
    assert json.loads(shown)["payload"] == {"n": [{"secret": MASK}], "u": f"http://{MASK}@c"}
    assert redact_body(b"password=hunter2 \xff") == "password=*** \\xff"


@pytest.mark.parametrize(
    "piece", ["token", "token=", 'token="\\', "a://b:c", "a.", "'", "token ", "\\"]
)
def test_long_texts_hold_nobody_up(piece: str) -> None:
    """A text made to slow an expression down is done within the test's time limit."""
    redact(piece * (300_000 // len(piece)) + " password @ ://")
