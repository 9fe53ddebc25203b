from collections.abc import Sequence

import anyio
import pytest
from attrs import define, field

from actors import Settled, Worker
from messages import Outcome, Rejected, Succeeded
from tests.actors.stage import Q, Stage


@define(eq=False)
class Notes:
    """Instruments that note what they are told."""

    told: list[tuple[str, str, Settled]] = field(factory=list)
    batches: int = 0

    def settled(
        self,
        queue: str,
        succeeded: Sequence[Succeeded],
        others: Sequence[tuple[Outcome, Settled]],
    ) -> None:
        self.batches += 1
        for outcome, answer in (*((one, Settled.DONE) for one in succeeded), *others):
            self.told.append((queue, type(outcome).__name__, answer))


@pytest.mark.anyio
async def test_instruments_hear_of_each_ending_once(stage: Stage) -> None:
    """Each task's outcome is told with what the server said, a batch at a time."""
    notes = Notes()
    worker = Worker(stage.broker, stage.handlers, instruments=notes)
    async with anyio.create_task_group() as group:
        await group.start(worker.run)
        await stage.push_naps(["a", "b", "c"])
        unknown = await stage.push("nobody-knows-this")
        for name in ("a", "b", "c", unknown):
            await stage.answer(name)
        await worker.stop()
    done = (Q, Succeeded.__name__, Settled.DONE)
    assert sorted(notes.told, key=str) == [(Q, Rejected.__name__, Settled.DONE), *[done] * 3]
    assert 1 <= notes.batches <= 4
