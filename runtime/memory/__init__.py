"""The in-memory broker: the Redis broker's semantics inside one event loop, for tests.

It runs on asyncio and on trio and needs no server, so a service can test its handlers, and the
worker that runs them, on virtual time:

    broker = MemoryBroker()
    queue = MemoryTaskQueue(broker, queue="brain:mission_tasks")
    worker = Worker(broker, handlers, queues=["brain:mission_tasks"])
    async with anyio.create_task_group() as service:
        await service.start(worker.run)
        task_id = await queue.push_task("agent.chat", {"message": "hi"})
        result = await queue.get_task_result(task_id, timeout=10)
        await worker.stop()

| module | what is there |
|---|---|
| `store` | `MemoryStore`: queues, inflight lists, leases, answers; a method for each Lua script |
| `queue_state` | what it keeps beside one queue |
| `recurring` | how far recurring tasks have been fired |
| `notes` | `NotesStore`: what runs note of themselves: saved states and progress |
| `waiting` | who waits for a task or an answer, served in the order of arrival |
| `session` | `MemorySession`: one worker's dealings |
| `broker` | `MemoryBroker`: joins workers, kills them, shows what became of tasks |
| `task_queue`, `whereabouts` | `MemoryTaskQueue`, the producer's side; where a task is |

What differs from a server: all time is `anyio.current_time`, and the lease is renewed by a task of
the event loop. So a handler that blocks the loop stops the pulses of all members, and the looks of
all Janitors with them: nobody is reclaimed meanwhile. Recurring tasks begin at the time of day, and
from there on go by `anyio.current_time` too. Nothing outlives the process.
"""

from runtime.memory.broker import MemberKilledError, MemoryBroker
from runtime.memory.session import MemorySession
from runtime.memory.store import MemoryStore
from runtime.memory.task_queue import MemoryTaskQueue

__all__ = ["MemberKilledError", "MemoryBroker", "MemorySession", "MemoryStore", "MemoryTaskQueue"]
