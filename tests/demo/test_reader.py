import asyncio
import random
from pathlib import Path
from typing import Any

from attrs import define

from runtime.brain import database, schema
from runtime.demo.processes import Fleet
from runtime.demo.reader import Reader
from runtime.demo.record import Mission, Record
from runtime.demo.work import TASK_TYPE
from runtime.heartbeats import Asks
from runtime.producer_session import open_session


@define
class Hurried:
    """A way to the server while whose every question is under way a mission is delegated."""

    session: Asks
    record: Record

    async def ask(self, request: str, *words: str) -> Any:
        told = await self.session.ask(request, *words)
        task_id = f"mission-{len(self.record.missions)}"
        self.record.missions.append(Mission(task_id, TASK_TYPE))
        return told


def test_a_mission_that_comes_during_a_look(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    """The script goes on while the view looks: what it delegates then is in the next look."""
    record = Record()

    async def look() -> tuple[int, int]:
        engine = database.engine(database_url, concurrency=1)
        session = await open_session(redis_url, 5.0, random.random)
        try:
            await schema.create_in_empty(engine)
            hurried = Hurried(session, record)
            reader = Reader(hurried, engine, "c", Fleet(tmp_path), record)
            first, second = await reader.look(), await reader.look()
        finally:
            await session.aclose()
            await engine.dispose()
        return len(first.missions), len(second.missions)

    first, second = asyncio.run(look())
    assert 0 < first < second < len(record.missions)
