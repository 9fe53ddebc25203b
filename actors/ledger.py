"""Which tasks this worker knows that it holds, by their bytes.

The server's inflight list is the truth; the ledger is this worker's view of it. What is in the
list and not in the ledger was taken by a call whose reply was lost, and is adopted. What is in
the ledger and not in the list was reclaimed while this worker was away, and is dropped.
"""

from collections import Counter
from collections.abc import Iterable, Sequence


class Ledger:
    """Counts of held bodies per queue; equal bodies are counted, not merged."""

    def __init__(self, queues: Iterable[str]) -> None:
        self._held: dict[str, Counter[bytes]] = {queue: Counter() for queue in queues}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"Ledger({self._size} held)"

    def add(self, queue: str, raw: bytes) -> None:
        """Note that a task is held."""
        self._held[queue][raw] += 1
        self._size += 1

    def discard(self, queue: str, raw: bytes) -> bool:
        """Note that a task is no longer held; return whether it was."""
        held = self._held[queue]
        count = held.get(raw, 0)
        if not count:
            return False
        if count == 1:
            del held[raw]
        else:
            held[raw] = count - 1
        self._size -= 1
        return True

    def snapshot(self, queue: str) -> Counter[bytes]:
        """Return what is held of a queue now."""
        return self._held[queue].copy()

    def unknown(self, queue: str, before: Counter[bytes], listed: Sequence[bytes]) -> list[bytes]:
        """Return the listed bodies that are not accounted for, in their order.

        Args:
            queue: whose inflight list was read.
            before: the snapshot from before it was read. A task that was settled between the
                reading and now is in it, and so isn't taken for an unknown one.
            listed: the inflight list.
        """
        known = before | self._held[queue]
        strangers: list[bytes] = []
        for raw in listed:
            if known[raw] > 0:
                known[raw] -= 1
            else:
                strangers.append(raw)
        return strangers

    def bodies(self) -> list[bytes]:
        """Return all that is held."""
        return [raw for held in self._held.values() for raw in held.elements()]

    def holds(self, queue: str, raw: bytes) -> bool:
        """Say whether such a task is held."""
        return raw in self._held[queue]

    def drop_missing(
        self, queue: str, before: Counter[bytes], listed: Sequence[bytes]
    ) -> Counter[bytes]:
        """Strike out what the inflight list no longer holds, and return it.

        Args:
            queue: whose inflight list was read.
            before: the snapshot from before it was read; what was taken since isn't missing.
            listed: the inflight list.
        """
        missing = (before & self._held[queue]) - Counter(listed)
        for raw, count in missing.items():
            for _ in range(count):
                self.discard(queue, raw)
        return missing
