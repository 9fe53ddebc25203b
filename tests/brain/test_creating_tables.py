import subprocess
import sys
from pathlib import Path

from tests.cli.commands import environment
from tests.servers import free_port


def create(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m runtime.brain`."""
    return subprocess.run(
        [sys.executable, "-m", "runtime.brain"],
        check=False,
        cwd=directory,
        env=environment(directory, **variables),
        capture_output=True,
        text=True,
    )


def test_the_tables_are_created_once(tmp_path: Path, database_url: str) -> None:
    """An empty database gets tables and the cluster demo; the second run finds them."""
    first = create(tmp_path, DATABASE_URL=database_url)
    assert (first.returncode, first.stdout) == (0, "Created BRAiN's tables and the cluster demo\n")
    second = create(tmp_path, DATABASE_URL=database_url)
    assert (second.returncode, second.stdout) == (0, "BRAiN's tables are there\n")


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    """Without a URL, or with a server that is out of reach, it says so and exits with 2."""
    nowhere = f"postgresql+asyncpg://user:secret@127.0.0.1:{free_port()}/brain"
    for url, said in (("", "DATABASE_URL isn't set"), (nowhere, "can't be used")):
        done = create(tmp_path, DATABASE_URL=url)
        assert done.returncode == 2, done
        (sentence,) = done.stderr.splitlines()
        assert said in sentence
        assert "secret" not in sentence
