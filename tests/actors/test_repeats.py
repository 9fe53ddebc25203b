"""What a flood of bodies that can't be run leaves in the log."""

from actors.repeats import Repeats


def test_a_few_of_a_kind_are_written_and_the_rest_counted() -> None:
    """Twenty lines of a kind are written within ten seconds, whatever else is said."""
    repeats = Repeats()
    written = [repeats.admits("malformed", 0.001 * number) for number in range(1_000)]
    assert sum(written) == 20
    assert repeats.admits("expired", 1)
    assert repeats.over(9.9) == {}
    assert repeats.over(10) == {"malformed": 980}
    assert repeats.over(10) == {}


def test_a_new_span_begins_anew() -> None:
    """After a span the next lines are written again, and what was withheld is told of first."""
    repeats = Repeats()
    for number in range(21):
        repeats.admits("malformed", number / 10)
    assert not repeats.admits("malformed", 11)
    assert repeats.over(11) == {"malformed": 2}
    assert repeats.admits("malformed", 11)


def test_at_the_end_all_is_told() -> None:
    """A worker that ends says how many lines it owes."""
    repeats = Repeats()
    for _ in range(25):
        repeats.admits("malformed", 0)
    assert repeats.over(0, end=True) == {"malformed": 5}


def test_a_slow_trickle_is_written_in_full() -> None:
    """What comes seldom is told each time."""
    repeats = Repeats()
    assert all(repeats.admits("malformed", float(second)) for second in range(1_000))
