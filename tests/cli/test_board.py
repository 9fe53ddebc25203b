"""An overview on a screen: it fits, the worst is on it, and the rest is summed up."""

import io

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from runtime.cli.board import Board
from runtime.cli.grid import shortened
from runtime.cli.overview import Overview
from runtime.cli.queue_views import QueueView
from runtime.cli.recurring_views import RecurringView
from runtime.cli.worker_views import TaskView, WorkerView

NAMES = st.text(min_size=1, max_size=60)
SECONDS = st.floats(0, 1e7)
MAYBE = st.none() | st.floats(0, 1e6)
TASKS = st.builds(TaskView, NAMES, NAMES, NAMES, SECONDS, st.integers(1, 9), MAYBE, MAYBE)
COUNTS = st.integers(0, 10**7)
QUEUES = st.builds(
    QueueView, NAMES, COUNTS, COUNTS, COUNTS, MAYBE, COUNTS, MAYBE, out_s=MAYBE, in_s=MAYBE
)
WORKERS = st.builds(
    WorkerView,
    worker_id=NAMES,
    queues=st.just(("q",)),
    slots=st.integers(1, 64),
    active=st.integers(0, 64),
    processed=COUNTS,
    failed=COUNTS,
    heartbeat_s=SECONDS,
    lease_alive=st.booleans(),
    lease_s=MAYBE,
    memory_bytes=st.none() | st.integers(0, 2**40),
    runs=st.lists(TASKS, max_size=3).map(tuple),
)
SENTENCES = st.lists(st.text(max_size=200), max_size=12).map(tuple)
RECURRING = st.builds(RecurringView, NAMES, NAMES, NAMES, st.floats(-1e6, 1e6))
OVERVIEWS = st.builds(
    Overview,
    queues=st.lists(QUEUES, max_size=8).map(tuple),
    workers=st.lists(WORKERS, max_size=6).map(tuple),
    remarks=SENTENCES,
    recurring=st.lists(RECURRING, max_size=5).map(tuple),
    notes=SENTENCES,
)

WORKER = WorkerView("w", ("q",), 2, 1, 9, 0, 1.0, lease_alive=True, lease_s=0.5, version="1.0")
QUEUE = QueueView("q", 12, 3, 4, 250.0, out_s=3.14, in_s=1_200.0)


def fleet(count: int) -> tuple[WorkerView, ...]:
    return tuple(evolve(WORKER, worker_id=f"worker-{n:03}") for n in range(count))


@settings(max_examples=60, deadline=None)
@given(OVERVIEWS, st.integers(0, 100), st.integers(20, 140), st.integers(1, 60), st.text())
def test_it_never_exceeds_the_screen(
    found: Overview, more: int, width: int, height: int, trouble: str
) -> None:
    """Whatever was found, with a hundred workers more: no line too many, none too wide."""
    found = evolve(found, workers=(*found.workers, *fleet(more)))
    lines = Board(found, "redis://host", trouble=trouble).lines(width, height)
    assert 1 <= len(lines) <= height
    assert max(cell_len(text) for text, _ in lines) <= width


def test_a_hundred_workers_at_80_by_24() -> None:
    """In trouble, long-running and busy workers are on the screen, all others in one line."""
    ill = evolve(WORKER, worker_id="ill", lease_alive=False)
    long = evolve(WORKER, worker_id="long", runs=(TaskView("abcdefghij", "x", "q", 700.0),))
    full = evolve(WORKER, worker_id="full", active=2)
    found = Overview((QUEUE,), (*fleet(97), full, long, ill), ("This is wrong.",))
    texts = [text for text, _ in Board(found, "redis://host").lines(80, 24)]
    assert len(texts) == 24
    assert texts[0] == "Redis redis://host  version 1.0"
    assert "This is wrong." in texts
    first = texts.index(next(text for text in texts if text.startswith("Worker "))) + 1
    assert [text.split()[0] for text in texts[first : first + 3]] == ["ill", "long", "full"]
    assert texts[first].endswith("lapsed")
    assert texts[first + 1].split()[1:6] == ["1/2", "x", "abcdefgh", "11", "m"]
    shown = sum(text.startswith("worker-") for text in texts)
    rest = 97 - shown
    assert (
        texts[-1] == f"… and {rest} more workers: {rest} of {rest * 2} slots busy, none in trouble"
    )


def test_many_remarks_leave_room_for_the_rest() -> None:
    """Of many remarks the first are shown, and how many there are beside."""
    found = Overview((QUEUE,), fleet(3), tuple(f"Remark {n}." for n in range(40)))
    texts = [text for text, _ in Board(found, "redis://host").lines(80, 24)]
    assert "Remark 0." in texts
    shown = sum(text.startswith("Remark") for text in texts)
    assert f"… and {40 - shown} more" in texts
    assert any(text.startswith("worker-002") for text in texts)


def test_each_remark_has_a_line_and_the_worst_are_written_out() -> None:
    """Of sentences that need more lines than there are, each begins, and the first ones end."""
    wrong = tuple(f"Remark {n}: " + "very long words " * 12 + "the end." for n in range(7))
    found = Overview((QUEUE,), fleet(3), wrong)
    lines = [text for text, style in Board(found, "redis://host").lines(80, 24) if "red" in style]
    assert [f"Remark {n}:" in " ".join(lines) for n in range(7)] == [True] * 7
    assert [text.endswith("the end.") for text in lines[:3]] == [False, False, True]
    assert all(text.endswith(" …") for text in lines[-4:])


def test_what_the_tables_leave_is_for_remarks() -> None:
    """Few queues and workers leave more than a third of the screen for what is wrong."""
    found = Overview((QUEUE,), fleet(3), tuple(f"Remark {n}." for n in range(12)))
    texts = [text for text, _ in Board(found, "redis://host").lines(80, 24)]
    assert sum(text.startswith("Remark") for text in texts) == 12
    assert [text.split()[0] for text in texts[-3:]] == ["worker-000", "worker-001", "worker-002"]


def test_what_few_workers_leave_is_for_queues() -> None:
    """Where there are few workers, more than a third of the screen may be queues."""
    queues = tuple(evolve(QUEUE, name=f"queue-{n:02}") for n in range(12))
    texts = [text for text, _ in Board(Overview(queues, fleet(3), ()), "r").lines(80, 24)]
    assert sum(text.startswith("queue-") for text in texts) == 12
    assert sum(text.startswith("worker-") for text in texts) == 3


def test_notes_take_no_line_from_the_end() -> None:
    """Whatever is said above, the last line still sums up the workers that aren't shown."""
    said = tuple(f"Sentence {n}." for n in range(9))
    found = Overview((QUEUE,), fleet(100), said, notes=said)
    texts = [text for text, _ in Board(found, "redis://host").lines(80, 24)]
    assert texts[-1].startswith("… and")
    assert texts[-1].endswith("slots busy, none in trouble")


def test_all_of_it_is_shown_where_there_is_no_screen() -> None:
    """Without a screen to fit every worker and remark has its line; rates have their places."""
    found = Overview((QUEUE,), fleet(100), tuple(f"Remark {n}." for n in range(40)))
    out = io.StringIO()
    Console(file=out, width=80).print(Board(found, "redis://h", spare=None), soft_wrap=True)
    texts = out.getvalue().splitlines()
    assert sum(text.startswith("worker-") for text in texts) == 100
    assert sum(text.startswith("Remark") for text in texts) == 40
    row = next(text for text in texts if text.startswith("q "))
    assert row.split() == ["q", "12", "3", "4", "0", "1,200", "3.1", "4", "m", "10", "s"]


def test_names_lose_their_middle() -> None:
    """A name that is too long keeps its beginning and its end."""
    assert shortened("brain-worker-7f9c-abcde", 11) == "brain…abcde"
    assert shortened("short", 11) == "short"


@given(st.text(), st.integers(0, 30))
def test_what_is_shortened_fits(text: str, width: int) -> None:
    """However wide its letters are, a shortened text is no wider than it may be."""
    assert cell_len(shortened(text, width)) <= width


def test_wide_letters_are_cut_by_their_width() -> None:
    """Letters that take two cells each count as two."""
    assert shortened("ウィジェット作成", 9) == "ウィ…作成"
