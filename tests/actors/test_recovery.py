import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Surroundings
from actors.recovery import DEATHS_OF_A_POISON_PILL, plan_recovery
from messages import Reason, decode_task

NOW = datetime(2024, 2, 17, 10, 30, tzinfo=UTC)


def surroundings() -> Surroundings:
    numbers = count()
    return Surroundings(now=lambda: NOW, token=lambda: f"token-{next(numbers)}")


def body(task_id: str, **more: Any) -> bytes:
    fields = {"id": task_id, "type": "t", "payload": {}, "created_at": "2024-02-17T10:30:00Z"}
    return json.dumps(fields | more).encode()


def test_only_what_could_have_begun_counts_a_death() -> None:
    """The first tasks, as many as the dead worker had slots, carry a death; others none (I7)."""
    raws = [body(name) for name in "abcd"]

    plan = plan_recovery(raws, 2, "w", surroundings())

    assert [one.raw for one in plan] == raws
    again = [decode_task(one.requeue or b"") for one in plan]
    assert [(task.id, task.deaths) for task in again] == [("a", 1), ("b", 1), ("c", 0), ("d", 0)]
    assert [one.requeue for one in plan[2:]] == raws[2:]


def test_a_death_counts_no_attempt() -> None:
    """The death of a worker isn't a failure of the handler (I7)."""
    (one,) = plan_recovery([body("a", attempt=2)], 1, "w", surroundings())

    assert decode_task(one.requeue or b"").attempt == 2


def test_equal_bodies_stay_two() -> None:
    """Each body that is changed carries a nonce of its own (I8)."""
    first, second = plan_recovery([body("a"), body("a")], 2, "w", surroundings())

    assert first.requeue != second.requeue


def test_the_third_death_makes_a_poison_pill() -> None:
    """A task of which three workers died is put away, and its producer is told (I7)."""
    (one,) = plan_recovery([body("a", deaths=2)], 1, "w", surroundings())

    assert one.requeue is None
    assert one.bury is not None
    assert one.bury.dead is not None
    assert (one.bury.dead.reason, one.bury.dead.deaths) == (Reason.POISON_PILL, 3)
    assert one.bury.dead.raw == one.raw
    result = json.loads(one.bury.result or b"")
    assert (one.bury.task_id, result["success"], result["worker_id"]) == ("a", False, "w")
    assert result["result"] == {
        "error": "3 workers have died while they were running it",
        "error_type": "poison_pill",
    }


def test_a_suspect_beside_others_had_not_begun() -> None:
    """Two deaths and not alone: it is only run alone, so this death was another's (I7)."""
    raws = [body("a", deaths=2), body("b")]

    suspect, neighbour = plan_recovery(raws, 2, "w", surroundings())

    assert (suspect.requeue, suspect.bury) == (raws[0], None)
    assert decode_task(neighbour.requeue or b"").deaths == 1


def test_a_body_that_is_no_task_cannot_kill_for_ever() -> None:
    """What can't carry a death is put away at the first one."""
    (one,) = plan_recovery([b"{"], 1, "w", surroundings())

    assert one.requeue is None
    assert one.bury is not None
    assert (one.bury.task_id, one.bury.result) == (None, None)
    assert one.bury.dead is not None
    assert one.bury.dead.reason is Reason.MALFORMED


def test_a_body_that_never_began_is_not_looked_at() -> None:
    """Beyond the slots even a body that is no task goes back as it is."""
    (one,) = plan_recovery([b"{"], 0, "w", surroundings())

    assert (one.requeue, one.bury) == (b"{", None)


def test_who_has_saved_something_new_gets_on() -> None:
    """A state that the body doesn't know: one death, whatever came before, and no pill (I7)."""
    (one,) = plan_recovery([body("a", deaths=2, saved=4)], 1, "w", surroundings(), {"a": 5})

    task = decode_task(one.requeue or b"")
    assert (task.deaths, task.saved, task.attempt) == (1, 5, 1)


def test_who_has_saved_nothing_new_does_not() -> None:
    """A state that the body knows is no sign of getting on (I7)."""
    (one,) = plan_recovery([body("a", deaths=2, saved=5)], 1, "w", surroundings(), {"a": 5})

    assert one.bury is not None
    assert one.bury.dead is not None
    assert one.bury.dead.reason is Reason.POISON_PILL


def test_what_was_left_without_a_lease_keeps_its_state() -> None:
    """Where no death is counted the body still tells of the state."""
    raws = [body("a", deaths=1), body("b"), b"{"]

    plan = plan_recovery(raws, 0, "w", surroundings(), {"a": 7})

    task = decode_task(plan[0].requeue or b"")
    assert (task.deaths, task.saved) == (0, 7)
    assert [one.requeue for one in plan[1:]] == raws[1:]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.booleans())
def test_three_deaths_in_a_row_without_a_save_make_a_poison_pill(
    saves: list[int],
    drained: bool,  # noqa: FBT001 - a case
) -> None:
    """Runs that each save so often and die: put away at the third in a row that saved nothing."""
    raw, number, idle = body("a"), 0, 0
    for more in saves:
        number += more
        idle = 1 if more else idle + 1
        saved = {"a": number} if number else {}
        (one,) = plan_recovery([raw], 1, "w", surroundings(), saved)
        if idle == DEATHS_OF_A_POISON_PILL:
            assert one.bury is not None
            return
        assert one.requeue is not None
        raw = one.requeue
        assert decode_task(raw).deaths == idle
        if drained:
            # In between it is given back by a drain, having saved nothing more.
            (again,) = plan_recovery([raw], 0, "w", surroundings(), saved)
            assert again.requeue == raw


raws = st.one_of(
    st.binary(max_size=20), st.builds(body, st.text(min_size=1), deaths=st.integers(0, 5))
)


@settings(deadline=None)
@given(st.lists(raws, max_size=8), st.integers(0, 10))
def test_every_task_is_requeued_or_buried(raws: list[bytes], begun: int) -> None:
    """Each body has exactly one fate, in the old order, and no death is lost (I1, I3)."""
    plan = plan_recovery(raws, begun, "w", surroundings())

    assert [one.raw for one in plan] == raws
    for one in plan:
        assert (one.requeue is None) != (one.bury is None)
    for one in plan[:begun]:
        if one.requeue == one.raw:
            assert len(raws) > 1
            assert decode_task(one.raw).deaths >= DEATHS_OF_A_POISON_PILL - 1
        elif one.requeue is not None:
            deaths = decode_task(one.requeue).deaths
            assert deaths == decode_task(one.raw).deaths + 1 < DEATHS_OF_A_POISON_PILL
