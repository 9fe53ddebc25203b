import asyncio
import ssl

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions

from runtime.errors import ConfigurationError
from runtime.redis.backoff import ReconnectBackoff
from runtime.redis.connection import async_client, describe, parse_url, safe_url, sync_client
from runtime.redis.failures import is_forbidden, is_reply
from tests.relay import relay
from tests.servers import Valkey, free_port, make_valkey

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://", "redis://localhost:6379/0"),
        ("REDIS://example.org", "redis://example.org:6379/0"),
        ("redis://:s%23c@h:1/2", "redis://***@h:1/2"),
        ("redis://bob:s@c@h/2", "redis://***@h:6379/2"),
        ("redis://h/1?db=3", "redis://h:6379/3"),
        ("redis://[::1]:6380", "redis://[::1]:6380/0"),
        ("rediss://h?ssl_cert_reqs=none", "rediss://h:6379/0"),
        ("unix:///run/r.sock?db=4&password=s", "unix://***@/run/r.sock?db=4"),
        ("unix://bob:s@/run/r%20x.sock", "unix://***@/run/r x.sock?db=0"),
        (" redis://h:6379 \n", "redis://h:6379/0"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    """Each form of REDIS_URL is read, and shown without its login."""
    assert safe_url(url) == shown


def test_login_is_unquoted() -> None:
    """Percent signs in user names and passwords mean what they do in any URL."""
    address = parse_url("redis://b%40b:s%2Fc%3Ar@h")
    assert (address.username, address.password) == ("b@b", "s/c:r")
    assert "s/c:r" not in repr(address)


def test_options_of_others_are_named() -> None:
    """Options that other programs need and the pool decides itself are told, not obeyed."""
    address = parse_url("redis://h?protocol=3&retry_on_timeout=yes&socket_connect_timeout=2")
    assert address.ignored == ("protocol", "retry_on_timeout")
    assert address.connect_timeout == 2.0


@pytest.mark.parametrize(
    ("url", "came", "expected"),
    [
        ("", "empty", "redis://["),
        ("localhost:6379", "'localhost:6379'", "redis://["),
        ("http://h", "'http://h'", "redis://["),
        ("redis:/h", "'redis:***/h'", "redis://["),
        ("bob:tops3cret@h:6379", "'***@h:6379'", "redis://["),
        ("redis://:tops3cret", "'redis://:***'", "port"),
        ("redis://h:70000", "'redis://h:70000'", "port"),
        ("redis://:tops3cret#x@h", "'redis://***@h'", "%23"),
        ("redis://:tops3cret/x@h", "'redis://***@h'", "%2F"),
        ("redis://:tops3cret?x@h", "'redis://***@h'", "%3F"),
        ("redis://:a://tops3cret@h:x", "'redis://***@h:x'", "port"),
        ("redis://[::1", "'redis://[", "IPv6"),
        ("redis://h/tops", "'redis://h/tops'", "database number"),
        ("redis://h?db=x", "'redis://h'", "'db'"),
        ("redis://h?db=-1", "'redis://h'", "0 or more"),
        ("redis://h?pasword=tops3cret", "'redis://h'", "'pasword'"),
        ("redis://h?ssl_ca_certs=/x", "'redis://h'", "rediss://"),
        ("rediss://h?ssl_ca_certs=/no/such", "'rediss://h'", "/no/such"),
        ("rediss://h?ssl_cert_reqs=maybe", "'rediss://h'", "none, optional or required"),
        ("unix://", "'unix://'", "absolute path"),
        ("unix://run/r.sock", "'unix://run/r.sock'", "absolute path"),
    ],
)
def test_wrong_urls(url: str, came: str, expected: str) -> None:
    """A wrong REDIS_URL is refused in one sentence that names it and holds no password."""
    with pytest.raises(ConfigurationError) as caught:
        parse_url(url)
    assert caught.value.setting == "REDIS_URL"
    assert caught.value.came.startswith(came)
    assert expected in caught.value.expected
    assert "tops3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "tops3cret" not in safe_url(url)


@given(st.text(max_size=40), st.sampled_from(["redis://", "rediss://", "unix://", "x://", ""]))
def test_any_url(text: str, scheme: str) -> None:
    """Whatever stands in REDIS_URL, it is read or refused, and what is behind a @ is no secret."""
    url = f"{scheme}u:tops3cret@{text}"
    try:
        shown = str(parse_url(url))
    except ConfigurationError as error:
        shown = str(error)
    assert "tops3cret" not in shown + safe_url(url)


def test_backoff() -> None:
    """Pauses double up to the cap, spread over their whole length, and begin anew on success."""
    longest = ReconnectBackoff(lambda: 1.0)
    assert [longest.next() for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    longest.reset()
    assert longest.next() == 0.05
    assert ReconnectBackoff(lambda: 0.0).next() == 0.0
    patient = ReconnectBackoff(lambda: 1.0, base=1, cap=3)
    assert max(patient.next() for _ in range(5000)) == 3


def test_backoff_says_less_and_less() -> None:
    """A failure is worth a log line at growing intervals."""
    backoff = ReconnectBackoff(lambda: 1.0)
    said = []
    for number in range(20):
        if backoff.worth_saying:
            said.append(number)
        backoff.next()
    assert said == [0, 1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("error", "words", "reply", "forbidden"),
    [
        (exceptions.BusyLoadingError("Redis is loading"), "still loading", True, False),
        (exceptions.AuthenticationError("Authentication required."), "has none", True, True),
        (exceptions.AuthenticationError("invalid username-password"), "refuses the", True, True),
        (exceptions.NoPermissionError("User bob has none"), "User bob has none", True, True),
        (exceptions.OutOfMemoryError("command not allowed"), "full", True, False),
        (exceptions.ReadOnlyError("You can't write"), "replica", True, False),
        (exceptions.ResponseError("BUSY script"), "it answered: BUSY script", True, False),
        (exceptions.ConnectionError("max number of clients reached"), "maxcl", True, False),
        (exceptions.ConnectionError("Connection closed by server."), "closed the", False, False),
        (exceptions.ConnectionError("odd"), "ConnectionError: odd", False, False),
        (exceptions.TimeoutError("Timeout"), "in time", False, False),
        (exceptions.InvalidResponse("H"), "Redis protocol", False, False),
        (TimeoutError(), "in time", False, False),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), "refused", False, False),
        (OSError(113, "No route to host"), "no route to host", False, False),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), "TLS handshake", False, False),
    ],
)
def test_failures(error: Exception, words: str, reply: bool, forbidden: bool) -> None:  # noqa: FBT001 - of a table
    """Each kind of failure has its words, and is told apart as reply and as denial."""
    assert words in describe(error)
    assert (is_reply(error), is_forbidden(error)) == (reply, forbidden)


def test_failure_keeps_arguments_to_itself() -> None:
    """A server that doesn't know AUTH quotes the password; we don't."""
    error = exceptions.ResponseError(
        "unknown command 'AUTH', with args beginning with: 'tops3cret'"
    )
    assert describe(error) == "it answered: unknown command 'AUTH'"


async def test_wrapped_failure() -> None:
    """redis-py wraps what it catches; the words are those of what lies inside."""
    client = async_client(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(redis.ConnectionError) as caught:
        await client.ping()
    assert describe(caught.value) == "connection refused: nothing listens there"
    client = async_client("unix:///no/such/socket")
    with pytest.raises(redis.ConnectionError) as caught:
        await client.ping()
    assert describe(caught.value) == "there is no such socket"


async def test_clients(redis_url: str, valkey_server: Valkey) -> None:
    """Both clients work over TCP and Unix sockets, with a name and a database of their own."""
    for url in (redis_url, valkey_server.unix_url):
        address = f"{url.partition('?')[0].removesuffix('/0')}?db=3"
        async with async_client(address, client_name="brain-test") as client:
            await client.set("a", b"\xff")
            assert (await client.client_info())["name"] == "brain-test"
            assert (await client.client_info())["lib-name"] == "brain-worker-pool"
        with sync_client(address) as blocking:
            assert blocking.get("a") == b"\xff"
            blocking.delete("a")


async def test_single_connection(redis_url: str) -> None:
    """A client with a single connection is one client to the server, whatever is called."""
    async with async_client(redis_url, single_connection=True) as client:
        assert len({await client.client_id() for _ in range(5)}) == 1


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_nothing_is_retried(kind: str, redis_url: str, valkey_server: Valkey) -> None:
    """A command whose reply is lost reaches the server once."""
    del redis_url
    async with relay(valkey_server.socket) as cutter:
        cutter.cut_after = b"RPUSH"
        url = f"redis://127.0.0.1:{cutter.port}"
        if kind == "async":
            async with async_client(url) as client:
                with pytest.raises(redis.ConnectionError):
                    await client.rpush("list", "x")
        else:
            with sync_client(url) as blocking, pytest.raises(redis.ConnectionError):
                await asyncio.to_thread(blocking.rpush, "list", "x")
    with valkey_server.client() as looker:
        assert looker.llen("list") == 1


def test_passwords() -> None:
    """A password, and a user name with one, let us in; a wrong one is named as such."""
    with make_valkey(password="top:s3cret") as server:  # noqa: S106 - of a test
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "bob", "on", ">p@w/", "~*", "&*", "+@all")
        for login in (":top%3As3cret", "bob:p%40w%2F"):
            with sync_client(f"redis://{login}@127.0.0.1:{server.port}") as client:
                assert client.ping()
        for login, words in (("bob:no@", "refuses the user name"), ("", "has none")):
            with sync_client(f"unix://{login}{server.socket}") as client:
                with pytest.raises(redis.ConnectionError) as caught:
                    client.ping()
                assert words in describe(caught.value)
