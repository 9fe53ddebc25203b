"""The commands around dead letters, in processes of their own."""

import io
import json
from pathlib import Path

import pytest
import redis
from rich.console import Console

from messages import DeadLetter, PastError, Reason
from runtime.cli.dead_tables import show_list
from runtime.dead_letters import Letter
from runtime.redis import keys
from runtime.redis.connection import sync_client
from tests.cli.commands import CLUSTER, run
from tests.messages.test_values import NOON

BODY = (
    b'{"id":"%s","type":"mail","payload":{"to":  1.50},"created_at":"2024-02-17T10:30:00Z",'
    b'"attempt":3,"deaths":1,"errors":[],"saved":3,"expires_at":"2024-02-17T10:30:00Z","more":"kept"}'
)


def bury(
    client: redis.Redis, task_id: str, reason: Reason = Reason.ATTEMPTS_EXHAUSTED, raw: bytes = b""
) -> str:
    """Put a task away as a worker does; return the entry's id."""
    letter = DeadLetter(
        raw or BODY % task_id.encode(),
        reason,
        "no disk",
        "w",
        NOON,
        task_id,
        "mail",
        3,
        1,
        error_type="OSError",
        traceback="Traceback: here",
        errors=(PastError(1, "no space", "OSError", "v", NOON),),
    )
    fields = letter.fields()
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    entry = client.xadd(keys.dead(CLUSTER), {"task": letter.raw, **pairs})
    client.set(keys.result(task_id), b'{"success":false}')
    return str(entry.decode())


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """A client of an empty server."""
    with sync_client(redis_url) as one:
        one.flushall()
        yield one  # type: ignore[misc]


@pytest.mark.parametrize("width", [80, 100, 130, 200])
def test_a_long_error_takes_nobodys_place(width: int) -> None:
    """Whatever is written there, each column keeps its place, and a letter takes a few lines."""
    letter = Letter(
        "1-0",
        "q",
        b"",
        "attempts_exhausted",
        "Ollama at http://127.0.0.1:11434 refuses the connection; " * 9,
        "",
        "",
        "w",
        NOON,
        "29ecdc3b-ba7c-4002-97eb-6eb21bb952d1",
        "agent.chat",
        5,
        0,
    )
    with io.StringIO() as written:
        show_list([letter], 1, Console(file=written, width=width))
        lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for part in ("02-17 ", "29ecdc3b-ba7c-4002", "agent.chat", "attempts_e", "5 ", "Ollama at"):
        assert any(part in line for line in lines), (part, lines)
    assert len(lines) <= 7


def test_dead_letters_are_listed(tmp_path: Path, client: redis.Redis, redis_url: str) -> None:
    """A line each, within 80 columns; filters leave others out; JSON has all of it."""
    bury(client, "a-task-with-a-uuid-of-36-characters--1")
    bury(client, "t2", Reason.REJECTED)

    shown = run(tmp_path, "dead", "list", REDIS_URL=redis_url, COLUMNS="80")
    rejected = run(tmp_path, "dead", "list", "--reason", "rejected", "--json", REDIS_URL=redis_url)
    none = run(tmp_path, "dead", "list", "--older-than", "1h", REDIS_URL=redis_url)

    assert shown.returncode == rejected.returncode == none.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    for part in ("a-task-with-a-uuid", "mail", "attempts_e", "rejected", "no disk"):
        assert part in shown.stdout
    assert "no disk" in shown.stdout
    (letter,) = json.loads(rejected.stdout)
    assert (letter["task_id"], letter["type"], letter["reason"]) == ("t2", "mail", "rejected")
    assert letter["raw"].encode() == BODY % b"t2"
    assert none.stdout == "No dead letters.\n"


def test_a_dead_letter_is_shown_whole(tmp_path: Path, client: redis.Redis, redis_url: str) -> None:
    """All attempts' errors, the traceback and the very body; by the task's or the entry's id."""
    entry = bury(client, "t1")

    by_task = run(tmp_path, "dead", "show", "t1", REDIS_URL=redis_url)
    by_entry = run(tmp_path, "dead", "show", entry, REDIS_URL=redis_url)
    missing = run(tmp_path, "dead", "show", "t9", REDIS_URL=redis_url)

    assert by_task.stdout == by_entry.stdout
    for part in (
        "OSError: no disk",
        "OSError: no space",
        "Traceback: here",
        (BODY % b"t1").decode(),
    ):
        assert part in by_task.stdout
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "No dead letter has the id 't9'.\n"


def test_a_requeued_task_is_as_if_it_had_never_run(
    tmp_path: Path, client: redis.Redis, redis_url: str
) -> None:
    """Fresh attempts, the old failure forgotten, everything else in its very bytes (I2, I8)."""
    bury(client, "t1")
    bury(client, "t2")

    done = run(tmp_path, "dead", "requeue", "t1", REDIS_URL=redis_url)

    assert (done.returncode, done.stdout) == (0, "1 dead letter requeued.\n"), done.stderr
    (raw,) = client.lrange(CLUSTER, 0, -1)
    task = json.loads(raw)
    assert task.pop("nonce")
    assert task == {
        "id": "t1",
        "type": "mail",
        "payload": {"to": 1.5},
        "created_at": "2024-02-17T10:30:00Z",
        "more": "kept",
    }
    assert b'{"to":  1.50}' in raw
    assert client.xlen(keys.dead(CLUSTER)) == 1
    assert not client.exists(keys.result("t1"))
    assert client.exists(keys.result("t2"))


def test_all_that_fits_is_requeued(tmp_path: Path, client: redis.Redis, redis_url: str) -> None:
    """Thousands at once, in their order; what is no task goes as it is."""
    for number in range(1200):
        bury(client, f"t{number}")
    bury(client, "odd", Reason.MALFORMED, b"\xff")

    words = ("dead", "requeue", "--all", "--reason", "attempts_exhausted", "--json")
    done = run(tmp_path, *words, REDIS_URL=redis_url)
    rest = run(tmp_path, "dead", "requeue", "--all", REDIS_URL=redis_url)
    nothing = run(tmp_path, "dead", "requeue", "--all", REDIS_URL=redis_url)

    assert json.loads(done.stdout) == {"requeued": 1200}
    assert rest.returncode == 0
    bodies = client.lrange(CLUSTER, 0, -1)
    assert [json.loads(raw)["id"] for raw in bodies[:-1]] == [f"t{n}" for n in range(1200)]
    assert bodies[-1] == b"\xff"
    assert (nothing.returncode, nothing.stderr) == (1, "No dead letter fits.\n")


def test_dead_letters_are_purged(tmp_path: Path, client: redis.Redis, redis_url: str) -> None:
    """What is purged is gone, and nothing else is."""
    bury(client, "t1")
    bury(client, "t2")

    done = run(tmp_path, "dead", "purge", "t2", REDIS_URL=redis_url)

    assert (done.returncode, done.stdout) == (0, "1 dead letter purged.\n"), done.stderr
    assert client.xlen(keys.dead(CLUSTER)) == 1
    assert client.llen(CLUSTER) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("requeue",), "given neither ids nor --all"),
        (("purge",), "given neither ids nor --all"),
        (("purge", "t1", "--all"), "given ids and --all"),
        (("list", "--reason", "bad"), "--reason"),
        (("list", "--older-than", "soon"), "--older-than"),
        (("list", "--limit", "0"), "--limit"),
        (("bury",), "bury"),
    ],
)
def test_wrong_use_is_one_sentence(
    tmp_path: Path, redis_url: str, words: tuple[str, ...], said: str
) -> None:
    """Wrong use says what came and what was expected, and changes nothing."""
    done = run(tmp_path, "dead", *words, REDIS_URL=redis_url)

    assert done.returncode == 2, done
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
