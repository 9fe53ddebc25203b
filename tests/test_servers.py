import signal

import pytest

from tests.servers import Postgres, Valkey, make_valkey


@pytest.mark.usefixtures("redis_url")
def test_flushed(valkey_server: Valkey) -> None:
    """A test gets an empty server, whatever the one before left."""
    with valkey_server.client() as client:
        assert client.dbsize() == 0
        client.set("a", 1)
        client.config_set("maxmemory", 2_000_000)
        client.execute_command("ACL", "SETUSER", "bob", "on", "nopass", "+@all", "~*")
    valkey_server.pause()
    valkey_server.reset()
    with valkey_server.client() as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory") == {"maxmemory": "0"}
        assert client.acl_users() == ["default"]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_restart_keeps_data(sign: signal.Signals) -> None:
    """A server with an append-only file comes back on its port with its data."""
    with make_valkey(appendonly=True, password="secret") as server:  # noqa: S106 - of a test
        url = server.url
        with server.client() as client:
            client.set("a", 1)
        server.restart(sign)
        assert server.url == url
        with server.client() as client:
            assert client.get("a") == b"1"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_postgres_restarts(
    database_url: str, postgres_server: Postgres, sign: signal.Signals
) -> None:
    """A cluster comes back with its data after any end."""
    name = database_url.rpartition("/")[2]
    postgres_server.execute("CREATE TABLE t AS SELECT 1 AS x", name)
    postgres_server.restart(sign)
    assert postgres_server.execute("SELECT x FROM t", name) == "1"
