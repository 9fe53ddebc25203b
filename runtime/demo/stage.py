"""What a step of the script works with."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from runtime.demo.errors import DemoError
from runtime.demo.processes import Fleet
from runtime.demo.reader import Reader, in_words
from runtime.demo.record import Record
from runtime.redis import keys
from runtime.task_queue import TaskQueue

_ANSWERED_WITHIN: Final = 40.0
"""Seconds for any task of the demonstration; its own time limit ends sooner than two of them."""


@frozen(eq=False)
class Stage:
    """Where the script takes place.

    Attributes:
        queue: the producer's side.
        engine: BRAiN's database, in which its backend would make the cluster.
        fleet: the workers.
        reader: what is to be seen.
        record: what has happened.
        rest: seconds after each step in which people can read; 0 where nobody looks.
        chats: whether missions are chats, for there is an Ollama.
    """

    queue: TaskQueue
    engine: AsyncEngine
    fleet: Fleet
    reader: Reader
    record: Record
    rest: float
    chats: bool

    async def read_on(self) -> None:
        """Leave people the time to read."""
        await asyncio.sleep(self.rest)

    async def do(self, task_type: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Push a task on the cluster queue and return what it was answered.

        Raises:
            DemoError: it failed, or wasn't answered.
        """
        task_id = await self.queue.push_task(task_type, payload, queue=keys.CLUSTER_QUEUE)
        self.record.pushed[task_id] = task_type
        answer = await self.answer(task_id)
        if answer.get("success") is not True:
            raise DemoError(f"{task_type} failed: {in_words(answer)}")
        result: dict[str, Any] = answer["result"]
        return result

    async def answer(self, task_id: str) -> dict[str, Any]:
        """Wait for a task's answer.

        Raises:
            DemoError: there is none in time.
        """
        try:
            return await self.queue.get_task_result(task_id, timeout=_ANSWERED_WITHIN)
        except TimeoutError as error:
            raise DemoError(str(error)) from error
