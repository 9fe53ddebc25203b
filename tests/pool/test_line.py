from pathlib import Path

import pytest

from runtime.cli.options import WorkerOptions
from runtime.pool import line
from runtime.pool.window import Ended


def test_all_options_reach_the_worker() -> None:
    """What a worker reads are the very options that its supervisor was given."""
    options = WorkerOptions(
        redis_url="rediss://u:p@h/1",
        data_dir=Path("x"),
        state_dir=Path("/y"),
        handlers=("brain", "a:b"),
        queues=("q",),
        concurrency=7,
        burst=True,
        grace=0.5,
        connect_timeout=3.0,
        log_format="json",
    )
    assert line.read_options(line.pack_options(options)) == options
    assert line.read_options(line.pack_options(WorkerOptions())) == WorkerOptions()


@pytest.mark.parametrize("message", [line.Ready(("a", "b")), line.Refused("a\nb"), Ended(3, 1.5)])
def test_a_message_arrives_as_it_was_sent(message: line.Told) -> None:
    """Each message is one line, and is read as what it was."""
    packed = line.pack(message)
    assert packed.count(b"\n") == 1
    assert line.read(packed.rstrip()) == message


@pytest.mark.parametrize("text", [b"x", b"{}", b'{"kind": "Other"}', b'{"kind": "Refused"}', b"[]"])
def test_what_is_no_message_is_refused(text: bytes) -> None:
    """Anything else on the line is an error that shows it."""
    with pytest.raises(ValueError, match="has written"):
        line.read(text)
