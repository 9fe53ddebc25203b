import fcntl
import io
import json
import os
import select
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime
from pathlib import Path

import pytest

from messages import Progress
from runtime.cli import payload, progress_bar
from runtime.cli.app import run as run_here
from runtime.errors import ConfigurationError
from tests.cli.commands import Queue, Worker, environment, run
from tests.polling import eventually
from tests.servers import free_port


class Terminal(io.StringIO):
    """Standard input that nobody pipes anything into; reading it would wait for a person."""

    def isatty(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        raise AssertionError(f"read({size}) from a terminal")


def test_the_payload_is_the_argument() -> None:
    """A payload in the argument is taken, whatever standard input holds."""
    assert payload.read('{"a": [1]}', None, io.StringIO("{}")) == {"a": [1]}


@pytest.mark.parametrize("by", ["option", "argument"])
def test_the_payload_is_a_file(tmp_path: Path, by: str) -> None:
    """--file and @file read the payload from a file."""
    path = tmp_path / "payload.json"
    path.write_text('{"ä": "ö"}', encoding="utf-8")
    argument, file = (None, path) if by == "option" else (f"@{path}", None)
    assert payload.read(argument, file, Terminal()) == {"ä": "ö"}


@pytest.mark.parametrize("argument", [None, "-"])
def test_the_payload_is_standard_input(argument: str | None) -> None:
    """Standard input is read for `-`, and without an argument when it isn't a terminal."""
    assert payload.read(argument, None, io.StringIO('{"a": 1}')) == {"a": 1}


def test_no_payload_is_an_empty_one() -> None:
    """Without an argument on a terminal, or with nothing to read, the payload is empty."""
    assert payload.read(None, None, Terminal()) == {}
    assert payload.read(None, None, io.StringIO("\n")) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b": x}', "PAYLOAD is not JSON: invalid character at line 2, column 7"),
        ('{"a": 1', "PAYLOAD is not JSON: input data was truncated at line 1, column 8"),
        ("[1]", "PAYLOAD is a JSON array, expected a JSON object"),
        ("true", "PAYLOAD is a JSON boolean"),
        ("null", "PAYLOAD is null"),
        ("[" * 100_000, "PAYLOAD is nested too deeply"),
        ('{"a": NaN}', "PAYLOAD is not JSON: invalid character at line 1, column 7"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(text: str, said: str) -> None:
    """A payload that isn't a JSON object is named, with line and column where it breaks off."""
    with pytest.raises(ConfigurationError) as caught:
        payload.read(text, None, Terminal())
    assert str(caught.value).startswith(said)


def test_an_argument_and_a_file_are_one_too_many(tmp_path: Path) -> None:
    """A payload from two places is refused, and so is a file that can't be read."""
    with pytest.raises(ConfigurationError, match="given with --file as well"):
        payload.read("{}", tmp_path / "file", Terminal())
    with pytest.raises(ConfigurationError, match="No such file"):
        payload.read(None, tmp_path / "file", Terminal())
    (tmp_path / "latin").write_bytes(b'{"a": "\xe4"}')
    with pytest.raises(ConfigurationError, match="isn't UTF-8"):
        payload.read(None, tmp_path / "latin", Terminal())


def test_a_push_prints_the_id_and_queues_the_contracts_fields(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A push without --wait queues a task of the contract's form and prints its id."""
    with Queue(redis_url, "images") as queue:
        words = ["push", "resize", '{"width": 3}', "--queue", "images", "--redis-url", redis_url]
        assert run_here(words) == 0
        body = json.loads(queue.bodies()[0])
    assert capsys.readouterr().out == f"{body['id']}\n"
    assert (body["type"], body["payload"]) == ("resize", {"width": 3})
    assert "created_at" in body


def test_a_chosen_id_is_kept(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--task-id names the task, and --json prints the id as JSON."""
    with Queue(redis_url) as queue:
        words = ["push", "a", "{}", "--task-id", "mine", "--json", "--redis-url", redis_url]
        assert run_here(words) == 0
        assert queue.ids() == ["mine"]
    assert json.loads(capsys.readouterr().out) == {"task_id": "mine"}


def test_waiting_shows_success_and_failure(tmp_path: Path, redis_url: str) -> None:
    """--wait shows the answer and exits 0 for a success, 1 for a failure; --json prints it all."""
    with Worker(tmp_path, REDIS_URL=redis_url).ready():
        done = run(tmp_path, "push", "echo", "--wait", stdin='{"a": 1}', REDIS_URL=redis_url)
        assert done.returncode == 0, done
        assert "Task succeeded in" in done.stdout
        assert '"a": 1' in done.stdout
        assert "\x1b" not in done.stdout
        assert done.stderr == ""
        words = ("push", "fail", '{"why": "because"}', "--wait")
        failed = run(tmp_path, *words, REDIS_URL=redis_url)
        assert failed.returncode == 1, failed
        assert "Task failed" in failed.stdout
        assert "because" in failed.stdout
        machine = run(tmp_path, *words, "--json", REDIS_URL=redis_url)
        assert machine.returncode == 1
        assert json.loads(machine.stdout)["result"]["error"] == "because"


def test_waiting_at_a_terminal_shows_a_bar(tmp_path: Path, redis_url: str) -> None:
    """How far the task is shows on a terminal's standard error, and is gone at the end."""
    go = tmp_path / "go"
    body = json.dumps(
        {"file": str(go), "began": str(tmp_path / "began"), "done": 1500, "total": 2000}
    )
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    shown = b""

    def sees(text: bytes) -> bool:
        nonlocal shown
        if select.select([ours], [], [], 0.02)[0]:
            shown += os.read(ours, 4096)
        return text in shown

    with Worker(tmp_path, "--worker-id", "w", REDIS_URL=redis_url).ready():
        pushing = subprocess.Popen(
            [sys.executable, "-m", "runtime", "push", "count", body, "--wait"],
            cwd=tmp_path,
            env=environment(tmp_path, REDIS_URL=redis_url, TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            eventually(lambda: sees(b"1,500 of 2,000 (75%)"), what="the bar is shown")
            assert b"runs on w" in shown
            go.touch()
            said, _ = pushing.communicate(timeout=30)
        finally:
            pushing.kill()
            os.close(ours)
    assert pushing.returncode == 0
    assert b"Task succeeded" in said
    assert b"\x1b" not in said


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (None, None, ""),
        (3, None, "3"),
        (0, 0, "0"),
        (1234567, 2**53, "1,234,567 of 9,007,199,254,740,992 (0%)"),
        (0.5, 1.5, "0.50 of 1.50 (33%)"),
        (5, 4, "5 of 4 (100%)"),
    ],
)
def test_an_amount_is_said_in_words(done: float | None, total: float | None, words: str) -> None:
    """A share where the total is known, else a number, or nothing."""
    now = datetime.now(UTC)
    progress = Progress("a", "t", "q", "w", now, 1, now, done, total)
    assert progress_bar.amount_in_words(progress) == words


def test_waiting_ends_with_its_time_out(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Past --wait-timeout, push exits 3 and says that the task has no result."""
    words = ["push", "a", "{}", "--wait", "--wait-timeout", "10ms", "--redis-url", redis_url]
    assert run_here(words) == 3
    shown = capsys.readouterr()
    assert "has no result after 0.01 s" in shown.err


def test_without_a_server_nothing_is_started(tmp_path: Path) -> None:
    """Without a URL and a running private server, push and status say so and start none."""
    for words in (("push", "a", "{}"), ("status",)):
        done = run(tmp_path, *words)
        assert done.returncode == 2
        assert "no private server runs in .brain" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".brain").exists()


def test_a_server_out_of_reach_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Push and status exit 2 with one sentence when their server isn't there."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    for words in (["push", "a", "{}"], ["status"]):
        assert run_here([*words, "--redis-url", url]) == 2
        assert capsys.readouterr().err == (
            f"The Redis server at {url} can't be reached: connection refused: "
            "nothing listens there\n"
        )


def test_a_task_that_cannot_be_sent_is_refused(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A type or an id that no task may have is refused, and nothing is queued."""
    assert run_here(["push", "", "{}", "--redis-url", redis_url]) == 2
    assert "Nothing was sent: the task's type is 0 characters long" in capsys.readouterr().err
