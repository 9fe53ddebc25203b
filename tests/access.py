"""The access rules in `deploy/redis/worker.acl`, put in force on a test's server."""

from pathlib import Path

import redis

FILE = Path(__file__).parents[1] / "deploy" / "redis" / "worker.acl"
PASSWORD = "of-a-test"  # noqa: S105 - of a test


def rules(user: str) -> list[str]:
    """Return a user's rules, as they stand in the file."""
    for line in FILE.read_text().splitlines():
        words = line.split()
        if words[:2] == ["user", user]:
            return words[2:]
    raise AssertionError(f"{FILE} has no user {user}")


def install(admin: redis.Redis, user: str, words: list[str] | None = None) -> None:
    """Give a user these rules, or else those of the file, and a password."""
    admin.execute_command(
        "ACL", "SETUSER", user, *(rules(user) if words is None else words), f">{PASSWORD}"
    )


def url(user: str, port: int) -> str:
    """Return the URL by which a user reaches the server on a loopback port."""
    return f"redis://{user}:{PASSWORD}@127.0.0.1:{port}/0"
