import json
import signal
from pathlib import Path

import pytest

from tests.cli.commands import Worker, run
from tests.embedded_user import processes
from tests.polling import eventually

_SAMPLE = ("--handlers", "tests.cli.sample_handlers:handlers")
_SOMEWHERE = "redis://127.0.0.1:1"

CASES = {
    "bounds": (("--min", "3", "--max", "2"), "--max is 2, expected at least --min, which is 3"),
    "no workers": (("--min", "0"), "--min is '0', expected a whole number from 1"),
    "no time": (("--target-wait", "0"), "--target-wait is '0', expected seconds above 0"),
    "handlers": (
        ("--redis-url", _SOMEWHERE, "--handlers", "nowhere:handlers"),
        "there is no 'nowhere' here",
    ),
    "no server": (
        ("--redis-url", _SOMEWHERE, "--connect-timeout", "0"),
        "can't be reached: connection refused",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_pool_that_cannot_start(tmp_path: Path, case: tuple[tuple[str, ...], str]) -> None:
    """What keeps workers from starting is said once, in a sentence, and the pool ends with 2."""
    arguments, expected = case
    own = () if "--handlers" in arguments else _SAMPLE
    done = run(tmp_path, "pool", "--log-level", "error", *own, *arguments)
    assert done.returncode == 2, done
    assert done.stderr.count(expected) == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not done.stdout


def test_a_pool_without_any_configuration(tmp_path: Path) -> None:
    """With nothing set, the pool holds a private server for workers with names of their own."""
    words = ("--min", "2", "--max", "2", "--worker-id", "crew")
    with Worker(tmp_path, "pool", *words, *_SAMPLE) as pool:
        pool.says("crew-1 takes tasks")
        pool.says("crew-2 takes tasks")
        done = run(tmp_path, "push", "echo", '{"text": "a"}', "--wait", "--json")
        assert json.loads(done.stdout)["worker_id"] in {"crew-1", "crew-2"}
        pool.signal(signal.SIGINT)
        assert pool.end() == 0, pool.log()
    eventually(lambda: not processes(tmp_path / ".brain"))
