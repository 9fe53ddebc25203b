"""`python -m runtime.brain`: creates BRAiN's tables in an empty database.

For a BRAiN without a backend whose migrations do, as `compose.yml` brings one up. A database that
has any of the tables stays as it is. Exit codes: 0 the tables are there, 2 they can't be made.
"""

import asyncio
import os
import sys

from runtime.brain import database, schema
from runtime.brain.errors import BrainError, DatabaseUrlError


def main() -> int:
    """Create the tables and return the exit code; what a user can cause is one sentence."""
    try:
        created = asyncio.run(_create(os.environ.get("DATABASE_URL", "")))
    except BrainError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is the command line's
        return 2
    said = "Created BRAiN's tables and the cluster demo" if created else "BRAiN's tables are there"
    print(said)  # noqa: T201 - it is the command line's
    return 0


async def _create(url: str) -> bool:
    """Create the tables if there are none.

    A cancellation leaves the database as it was.

    Raises:
        BrainError: the database can't be used.
    """
    if not url:
        raise DatabaseUrlError("isn't set")
    engine = database.engine(url, concurrency=1, application_name="brain-worker-tables")
    try:
        created = await schema.create_in_empty(engine)
        await schema.check(engine)
    finally:
        await engine.dispose()
    return created


if __name__ == "__main__":
    sys.exit(main())
