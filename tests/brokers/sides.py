"""The two sides that must agree: a real server driven through its scripts, and the store in memory.

Both have the same synchronous methods, and show all that they keep as one `Snapshot`.
"""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from attrs import field, frozen
from redis.exceptions import NoScriptError, ResponseError

from actors import LeaseLapsedError, Look, Orders, Recovery, RefusedError, Settled, Settlement
from runtime.memory import MemoryStore
from runtime.memory.recurring import Fired
from runtime.redis import keys, producer_scripts, scripts
from tests.brokers.wire import Wire
from tests.servers import Valkey

T = TypeVar("T")


@frozen
class QueueView:
    """What lies beside one queue; dead letters as their fields, without the stream's ids."""

    waiting: tuple[bytes, ...]
    inflight: dict[str, tuple[bytes, ...]]
    leases: dict[str, str]
    holders: frozenset[str]
    dead: tuple[tuple[bytes, ...], ...]
    delayed: frozenset[bytes] = frozenset()
    paused: bool = False
    trimmed: int = 0
    recurring: dict[str, int] = field(factory=dict)
    saved: dict[str, bytes] = field(factory=dict)


@frozen
class Snapshot:
    """All that a side keeps, and all that it has published."""

    queues: dict[str, QueueView]
    results: dict[str, bytes]
    heartbeats: dict[str, bytes]
    progress: dict[str, bytes]
    published: tuple[tuple[str, bytes], ...]
    cancelled: frozenset[str] = frozenset()
    """The ids of marked tasks."""


@frozen
class Names:
    """The names that may occur, so that a snapshot needs one round trip."""

    queues: Sequence[str]
    task_ids: Sequence[str]
    holders: list[str] = field(factory=list)
    worker_ids: list[str] = field(factory=list)


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, without an event loop."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waits")


class RealSide:
    """A real server, through `runtime.redis.scripts`."""

    def __init__(self, server: Valkey, names: Names) -> None:
        self._names = names
        self.wire = Wire(server.socket)
        self.wire.call("FLUSHDB")
        self._listener = Wire(server.socket)
        self._listener.call("PSUBSCRIBE", "*")
        self._published: list[tuple[str, bytes]] = []

    def close(self) -> None:
        """Hang up."""
        self._listener.close()
        self.wire.close()

    async def call(self, *words: str | bytes | int) -> Any:
        """Send a command, and name errors as a `Line` does."""
        try:
            return self.wire.call(*words)
        except NoScriptError:
            raise
        except ResponseError as error:
            if str(error).startswith("NOLEASE"):
                raise LeaseLapsedError(str(error)) from None
            raise RefusedError(str(error)) from None

    def push(self, queue: str, raw: bytes) -> None:
        self.wire.call("RPUSH", queue, raw)

    def move(self, queue: str, holder: str) -> bytes | None:
        inflight = keys.inflight(queue, holder)
        return drive(self.call("BLMOVE", queue, inflight, "LEFT", "RIGHT", "0.001"))

    def take(self, queue: str, holder: str, limit: int) -> list[bytes]:
        return list(drive(scripts.take(self.call, queue, holder, limit)).raws)

    def orders(self, queues: Sequence[str], task_ids: Sequence[str]) -> Orders:
        return drive(scripts.orders(self.call, queues, task_ids))

    def cancel(self, task_id: str, answer: bytes) -> int:
        return drive(producer_scripts.cancel(self.call, task_id, answer))

    def pause(self, queue: str, on: bool) -> bool:  # noqa: FBT001 - called by name
        return drive(producer_scripts.pause(self.call, queue, on=on))

    def settle(
        self, queue: str, holder: str, number: int, batch: Sequence[Settlement]
    ) -> list[Settled]:
        return drive(scripts.settle(self.call, queue, holder, number, batch))[0]

    def release(
        self, queue: str, holder: str, raws: Sequence[bytes], bodies: Mapping[bytes, bytes] = {}
    ) -> int:
        return drive(scripts.release(self.call, queue, holder, raws, bodies))

    def save(self, queue: str, holder: str, raw: bytes, task_id: str, state: bytes) -> int:
        return drive(scripts.save(self.call, queue, holder, raw, task_id, state))

    def saved(self, queue: str, task_id: str) -> tuple[int, bytes] | None:
        return drive(scripts.saved(self.call, queue, task_id))

    def saved_numbers(self, queue: str, task_ids: Sequence[str]) -> dict[str, int]:
        return drive(scripts.saved_numbers(self.call, queue, task_ids))

    def report(self, progress: Mapping[str, bytes], over: Mapping[str, bytes]) -> None:
        drive(scripts.report(self.call, progress, over, 60.0))

    def drop_state(self, queue: str, task_id: str) -> None:
        self.wire.call("HDEL", keys.saved(queue), task_id)

    def held(self, queue: str, holder: str) -> list[bytes]:
        return drive(scripts.held(self.call, queue, holder))

    def renew(self, queue: str, holder: str, pulse: int, slots: int) -> bool:
        return drive(scripts.renew(self.call, queue, holder, pulse, slots))

    def look(self, queue: str) -> Look:
        return drive(scripts.look(self.call, queue))

    def reclaim(
        self, queue: str, holder: str, pulse: str | None, recoveries: Sequence[Recovery]
    ) -> int:
        return drive(scripts.reclaim(self.call, queue, holder, pulse, recoveries))[0]

    def promote(self, queue: str, holder: str, limit: int) -> tuple[bool, int]:
        # Another holder's lead lapses by time, which the other side doesn't see pass.
        self.wire.call("DEL", keys.promoter(queue))
        promoted = drive(scripts.promote(self.call, queue, holder, limit))
        return promoted.leads, promoted.moved

    def recurring(self, queue: str, names: Sequence[str]) -> dict[str, int | None]:
        return dict(drive(scripts.recurring(self.call, queue, names)).fired)

    def fire(
        self, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
    ) -> bool:
        return drive(scripts.fire(self.call, queue, name, fired, upto, bodies))

    def noted(self, queue: str, name: str, upto: int, age: int) -> None:
        """Note how far a recurring task was fired, as it was `age` ms ago."""
        seconds, _ = self.wire.call("TIME")
        value = f"{upto} {int(seconds) * 1000 - age}"
        self.wire.call("HSET", keys.recurring(queue), name, value)

    def asked(self, queue: str, name: str) -> int:
        """Return when a recurring task was last asked for."""
        return int(self.wire.call("HGET", keys.recurring(queue), name).split()[1])

    def forget(self, queue: str, holder: str) -> bool:
        return drive(scripts.forget(self.call, queue, holder))

    def leave(self, queue: str, holder: str) -> bool:
        return drive(scripts.leave(self.call, queue, holder))

    def beat(self, worker_id: str, body: bytes) -> None:
        drive(scripts.beat(self.call, worker_id, body, 60.0))

    def stop_beating(self, worker_id: str, body: bytes) -> None:
        drive(scripts.stop_beating(self.call, worker_id, body))

    def drop_lease(self, queue: str, holder: str) -> None:
        self.wire.call("HDEL", keys.leases(queue), holder)

    def published(self) -> tuple[tuple[str, bytes], ...]:
        """Return all that was published until now, in order."""
        # The answer to a ping comes behind what was published before it.
        message = self._listener.call("PING")
        while message[0] != b"pong":
            _, _, channel, body = message
            self._published.append((channel.decode(), body))
            message = self._listener.read()
        return tuple(self._published)

    def heard(self, position: int, channel: str, message: bytes) -> None:
        """Take a message for published."""
        self._published.insert(position, (channel, message))

    def snapshot(self) -> Snapshot:
        """Read everything, and check that there is no key that nobody knows."""
        names = self._names
        commands: list[tuple[str | int, ...]] = [("KEYS", "*")]
        for queue in names.queues:
            commands.append(("LRANGE", queue, 0, -1))
            commands.append(("HGETALL", keys.leases(queue)))
            commands.append(("ZRANGE", keys.holders(queue), 0, -1))
            commands.append(("XRANGE", keys.dead(queue), "-", "+"))
            commands.append(("ZRANGE", keys.delayed(queue), 0, -1))
            commands.append(("EXISTS", keys.paused(queue)))
            commands.append(("GET", keys.trimmed(queue)))
            commands.append(("HGETALL", keys.recurring(queue)))
            commands.append(("HGETALL", keys.saved(queue)))
            commands += [("LRANGE", keys.inflight(queue, one), 0, -1) for one in names.holders]
        commands += [("GET", keys.result(task_id)) for task_id in names.task_ids]
        commands += [("GET", keys.heartbeat(worker_id)) for worker_id in names.worker_ids]
        commands += [("GET", keys.progress(task_id)) for task_id in names.task_ids]
        commands.append(("ZRANGE", keys.CANCELLED, 0, -1))
        replies = iter(self.wire.calls(commands))
        self._check_keys(next(replies))
        return Snapshot(
            queues={queue: self._queue(replies) for queue in names.queues},
            results=_present(names.task_ids, replies),
            heartbeats=_present(names.worker_ids, replies),
            progress=_present(names.task_ids, replies),
            published=self.published(),
            cancelled=self._cancelled(next(replies)),
        )

    def _queue(self, replies: Any) -> QueueView:
        waiting, leases, holders, dead, delayed, paused, trimmed, noted, saved = (
            next(replies) for _ in range(9)
        )
        inflight = {holder: tuple(next(replies)) for holder in self._names.holders}
        return QueueView(
            waiting=tuple(waiting),
            inflight={holder: raws for holder, raws in inflight.items() if raws},
            leases={
                holder.decode(): value.decode()
                for holder, value in zip(leases[::2], leases[1::2], strict=True)
            },
            holders=frozenset(holder.decode() for holder in holders),
            dead=tuple(tuple(fields) for _, fields in dead),
            delayed=frozenset(delayed),
            paused=bool(paused),
            trimmed=int(trimmed or 0),
            recurring={
                name.decode(): int(value.split()[0])
                for name, value in zip(noted[::2], noted[1::2], strict=True)
            },
            saved={
                task_id.decode(): state
                for task_id, state in zip(saved[::2], saved[1::2], strict=True)
            },
        )

    def _cancelled(self, marks: Iterable[bytes]) -> frozenset[str]:
        ids = {keys.result(task_id): task_id for task_id in self._names.task_ids}
        return frozenset(ids[mark.decode()] for mark in marks)

    def _check_keys(self, found: Iterable[bytes]) -> None:
        names = self._names
        known = {keys.result(task_id) for task_id in names.task_ids}
        known |= {keys.progress(task_id) for task_id in names.task_ids}
        known |= {keys.heartbeat(worker_id) for worker_id in names.worker_ids}
        for queue in names.queues:
            known |= {queue, keys.leases(queue), keys.holders(queue), keys.dead(queue)}
            known |= {keys.delayed(queue), keys.promoter(queue), keys.recurring(queue)}
            known |= {keys.paused(queue), keys.trimmed(queue), keys.CANCELLED, keys.saved(queue)}
            for holder in names.holders:
                known |= {keys.inflight(queue, holder), keys.settled(queue, holder)}
        leaked = {key.decode() for key in found} - known
        assert not leaked, f"unknown keys: {leaked}"


def _present(names: Iterable[str], replies: Any) -> dict[str, bytes]:
    values = {name: next(replies) for name in names}
    return {name: value for name, value in values.items() if value is not None}


_LATER: Final = datetime(2020, 1, 2, tzinfo=UTC)


class MemorySide:
    """The store, at a time that never passes."""

    def __init__(self, names: Names, store: MemoryStore | None = None) -> None:
        self._names = names
        self.store = store or MemoryStore(lambda: _LATER)
        self.push = self.store.push
        self.move = self.store.move
        self.orders = self.store.orders
        self.release = self.store.release
        self.held = self.store.held
        self.look = self.store.look
        self.forget = self.store.forget
        self.leave = self.store.leave
        self.save = self.store.save
        self.saved = self.store.notes.saved
        self.saved_numbers = self.store.notes.numbers

    def report(self, progress: Mapping[str, bytes], over: Mapping[str, bytes]) -> None:
        self.store.notes.report(progress, over, 60.0, 0.0)

    def take(self, queue: str, holder: str, limit: int) -> list[bytes]:
        return list(self.store.take(queue, holder, limit).raws)

    def cancel(self, task_id: str, answer: bytes) -> int:
        return self.store.cancel(task_id, answer, 0.0)

    def pause(self, queue: str, on: bool) -> bool:  # noqa: FBT001 - called by name
        return self.store.pause(queue, 0.0, on=on)

    def settle(
        self, queue: str, holder: str, number: int, batch: Sequence[Settlement]
    ) -> list[Settled]:
        return self.store.settle(queue, holder, number, batch, 0.0)

    def renew(self, queue: str, holder: str, pulse: int, slots: int) -> bool:
        return self.store.renew(queue, holder, pulse, slots, 0.0)

    def reclaim(
        self, queue: str, holder: str, pulse: str | None, recoveries: Sequence[Recovery]
    ) -> int:
        return self.store.reclaim(queue, holder, pulse, recoveries, 0.0)

    def promote(self, queue: str, holder: str, limit: int) -> tuple[bool, int]:
        self.store.queue(queue).promoter.clear()
        promoted = self.store.promote(queue, holder, limit, 0.0)
        return promoted.leads, promoted.moved

    def recurring(self, queue: str, names: Sequence[str]) -> dict[str, int | None]:
        return dict(self.store.recurring(queue, names, 0.0).fired)

    def fire(
        self, queue: str, name: str, fired: int | None, upto: int, bodies: Sequence[bytes]
    ) -> bool:
        return self.store.fire(queue, name, fired, upto, bodies, 0.0)

    def noted(self, queue: str, name: str, upto: int, age: int) -> None:
        now = round(self.store.wall().timestamp() * 1000)
        self.store.queue(queue).recurring[name] = Fired(upto, now - age)

    def asked(self, queue: str, name: str) -> int:
        return self.store.queue(queue).recurring[name].asked

    def beat(self, worker_id: str, body: bytes) -> None:
        self.store.beat(worker_id, body, 60.0, 0.0)

    def stop_beating(self, worker_id: str, body: bytes) -> None:
        self.store.stop_beating(worker_id, body, 0.0)

    def drop_lease(self, queue: str, holder: str) -> None:
        self.store.queue(queue).leases.pop(holder, None)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def holders(self, queue: str) -> frozenset[str]:
        return frozenset(self.store.queue(queue).holders)

    def snapshot(self) -> Snapshot:
        """Show everything."""
        store = self.store
        return Snapshot(
            queues={queue: self._queue(queue) for queue in self._names.queues},
            results={task_id: one.value for task_id, one in store.results.items()},
            heartbeats={worker_id: one.value for worker_id, one in store.heartbeats.items()},
            progress={task_id: one.value for task_id, one in store.notes.progress.items()},
            published=tuple(store.published),
            cancelled=frozenset(store.cancelled),
        )

    def _queue(self, queue: str) -> QueueView:
        state = self.store.queue(queue)
        return QueueView(
            waiting=tuple(state.waiting),
            inflight={holder: tuple(raws) for holder, raws in state.inflight.items()},
            leases=dict(state.leases),
            holders=frozenset(state.holders),
            dead=tuple(
                (b"task", one.raw, *(word.encode() for word in one.fields())) for one in state.dead
            ),
            delayed=frozenset(state.delayed),
            paused=bool(state.paused),
            trimmed=state.trimmed[0],
            recurring={name: one.upto for name, one in state.recurring.items()},
            saved={
                task_id: b"%d %s" % saved
                for task_id, saved in self.store.notes.states[queue].items()
            },
        )
