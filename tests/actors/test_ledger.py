from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from actors.ledger import Ledger

Q = "q"
bodies = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=8)


def holding(*raws: bytes) -> Ledger:
    ledger = Ledger([Q, "other"])
    for raw in raws:
        ledger.add(Q, raw)
    return ledger


def test_what_is_listed_and_unknown_is_a_stranger() -> None:
    """A task whose delivery was lost is found, in the order of the list."""
    ledger = holding(b"a")

    assert ledger.unknown(Q, ledger.snapshot(Q), [b"c", b"a", b"b"]) == [b"c", b"b"]


def test_equal_bodies_are_counted() -> None:
    """Of two equal bodies of which one is known, the other is a stranger."""
    ledger = holding(b"a")

    assert ledger.unknown(Q, ledger.snapshot(Q), [b"a", b"a"]) == [b"a"]


def test_what_was_settled_meanwhile_is_no_stranger() -> None:
    """A task that was settled while the list was on its way isn't adopted from the old list."""
    ledger = holding(b"a")
    before = ledger.snapshot(Q)

    ledger.discard(Q, b"a")

    assert ledger.unknown(Q, before, [b"a"]) == []


def test_what_came_meanwhile_is_no_stranger() -> None:
    """A task that was noted while the list was on its way isn't adopted twice."""
    ledger = holding()
    before = ledger.snapshot(Q)

    ledger.add(Q, b"a")

    assert ledger.unknown(Q, before, [b"a"]) == []


def test_what_is_no_longer_listed_is_dropped_and_named() -> None:
    """Tasks that were reclaimed are struck out, each as often as it is missing."""
    ledger = holding(b"a", b"a", b"b")

    missing = ledger.drop_missing(Q, ledger.snapshot(Q), [b"a"])

    assert missing == Counter({b"a": 1, b"b": 1})
    assert ledger.bodies() == [b"a"]
    assert (ledger.holds(Q, b"a"), ledger.holds(Q, b"b"), len(ledger)) == (True, False, 1)


def test_what_came_meanwhile_is_not_missing() -> None:
    """A task that was taken after the list was read isn't dropped."""
    ledger = holding(b"a")
    before = ledger.snapshot(Q)

    ledger.add(Q, b"b")

    assert ledger.drop_missing(Q, before, [b"a"]) == Counter()
    assert sorted(ledger.bodies()) == [b"a", b"b"]


def test_discarding_what_is_not_held_does_nothing() -> None:
    """The count is never wrong, however often a task is struck out."""
    ledger = holding(b"a")

    assert (ledger.discard(Q, b"a"), ledger.discard(Q, b"a")) == (True, False)
    assert len(ledger) == 0


def test_queues_are_kept_apart() -> None:
    """An equal body on another queue is another task."""
    ledger = holding(b"a")

    assert ledger.unknown("other", ledger.snapshot("other"), [b"a"]) == [b"a"]


@given(bodies, bodies, bodies)
def test_after_an_audit_ledger_and_list_agree(
    known: list[bytes], lost: list[bytes], reclaimed: list[bytes]
) -> None:
    """Adopting the strangers and dropping the missing leaves exactly what the list holds."""
    ledger = holding(*known)
    listed = list((Counter(known + lost) - Counter(reclaimed)).elements())

    ledger.drop_missing(Q, ledger.snapshot(Q), listed)
    for raw in ledger.unknown(Q, ledger.snapshot(Q), listed):
        ledger.add(Q, raw)

    assert Counter(ledger.bodies()) == Counter(listed)
    assert len(ledger) == len(listed)
