from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import attrs
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.payloads import InvalidPayloadError, PayloadReader, UnknownKeys, reader_for
from tests.messages.bodies import objects


class Role(Enum):
    WORKER = "worker"
    LEAD = "lead"


@frozen
class Agent:
    role: Role
    name: str
    capabilities: list[str] = attrs.field(factory=list)


@frozen
class Spawn:
    cluster_id: str
    agent: Agent
    count: int = 1
    weight: float | None = None
    dry_run: bool = False
    mode: Literal["fast", "slow"] = "fast"
    labels: dict[str, int] = attrs.field(factory=dict)
    pair: tuple[int, str] | None = None


@dataclass
class Scale:
    cluster_id: str
    target: int = attrs.field(default=1)


class Chat(TypedDict):
    message: str
    agent_id: NotRequired[str]


T = TypeVar("T")


@frozen
class Boxed(Generic[T]):
    inside: T


@frozen
class Parent:
    a: int


@frozen
class Child(Parent):
    b: int


@frozen
class Even:
    number: int = attrs.field()

    @number.validator
    def _check(self, _: object, value: int) -> None:
        if value % 2:
            raise ValueError(f"number is {value}, expected an even one")


AGENT = {"role": "worker", "name": "Content Creator", "capabilities": ["copywriting"]}
SPAWN = {"cluster_id": "c", "agent": AGENT}


def reader(annotation: Any) -> PayloadReader:
    found = reader_for(annotation)
    assert found is not None
    return found


def wrong(annotation: Any, payload: dict[str, Any]) -> str:
    with pytest.raises(InvalidPayloadError) as caught:
        reader(annotation)(payload)
    return str(caught.value)


def test_nested_classes_are_built() -> None:
    """A payload is built as its annotations say, all the way down."""
    more = {"weight": 2, "mode": "slow", "labels": {"a": 1}, "pair": [1, "x"], "dry_run": True}

    built = reader(Spawn)(SPAWN | more)

    agent = Agent(Role.WORKER, "Content Creator", ["copywriting"])
    assert built == Spawn("c", agent, 1, 2.0, True, "slow", {"a": 1}, (1, "x"))


@pytest.mark.parametrize(
    ("annotation", "payload", "built"),
    [
        (Scale, {"cluster_id": "c", "target": 3}, Scale("c", 3)),
        (Chat, {"message": "hi"}, {"message": "hi"}),
        (Chat, {"message": "hi", "agent_id": "a"}, {"message": "hi", "agent_id": "a"}),
        (dict, {"a": [1]}, {"a": [1]}),
        (dict[str, Any], {"a": [1]}, {"a": [1]}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Mapping, {"a": 1}, {"a": 1}),
        (Mapping[str, object], {"a": 1}, {"a": 1}),
        (Any, {"a": 1}, {"a": 1}),
        (object, {"a": 1}, {"a": 1}),
        (Boxed[int], {"inside": 1}, Boxed(1)),
        (Child, {"a": 1, "b": 2}, Child(1, 2)),
        (Even, {"number": 2}, Even(2)),
    ],
)
def test_many_kinds_of_payload_can_be_annotated(
    annotation: Any, payload: dict[str, Any], built: object
) -> None:
    """Classes, dataclasses, typed and plain dicts, generics and heirs are built."""
    assert reader(annotation)(payload) == built


@pytest.mark.parametrize("annotation", [int, str, list, list[int], None, Role, int | None])
def test_what_no_object_can_become_has_no_reader(annotation: Any) -> None:
    """An annotation that no JSON object fits is found at registration."""
    assert reader_for(annotation) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cluster_id": 7}, "expected a string, got 7 at payload.cluster_id"),
        ({"cluster_id": None}, "expected a string, got null at payload.cluster_id"),
        ({"cluster_id": True}, "expected a string, got true at payload.cluster_id"),
        ({"count": "1"}, "expected a whole number, got '1' at payload.count"),
        ({"count": 1.5}, "expected a whole number, got 1.5 at payload.count"),
        ({"count": 1.0}, "expected a whole number, got 1.0 at payload.count"),
        ({"count": True}, "expected a whole number, got true at payload.count"),
        ({"count": None}, "expected a whole number, got null at payload.count"),
        ({"weight": "2"}, "expected a number, got '2' at payload.weight"),
        ({"weight": False}, "expected a number, got false at payload.weight"),
        ({"dry_run": 1}, "expected true or false, got 1 at payload.dry_run"),
        ({"dry_run": "true"}, "expected true or false, got 'true' at payload.dry_run"),
        ({"mode": "medium"}, "payload.mode"),
        ({"labels": {"a": "x"}}, "expected a whole number, got 'x' at payload.labels['a']"),
        ({"labels": []}, "expected an object, got [] at payload.labels"),
        ({"pair": [1]}, "payload.pair"),
        ({"agent": "me"}, "expected an object, got 'me' at payload.agent"),
        ({"agent": None}, "expected an object, got null at payload.agent"),
        ({"agent": {**AGENT, "role": "boss"}}, "payload.agent.role"),
        ({"agent": {**AGENT, "name": 7}}, "expected a string, got 7 at payload.agent.name"),
        (
            {"agent": {**AGENT, "capabilities": "copywriting"}},
            "expected an array, got 'copywriting' at payload.agent.capabilities",
        ),
        (
            {"agent": {**AGENT, "capabilities": ["a", 2]}},
            "expected a string, got 2 at payload.agent.capabilities[1]",
        ),
        ({"agent": {"role": "worker"}}, "the field `name` is missing at payload.agent"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], sentence: str) -> None:
    """JSON's types are taken as they are; the error says where, what came, what was expected."""
    assert sentence in wrong(Spawn, SPAWN | change)


def test_a_missing_field_is_named() -> None:
    """A field without a default has to be there, in every kind of class."""
    assert "the field `cluster_id` is missing" in wrong(Spawn, {"agent": AGENT})
    assert "`cluster_id` is missing" in wrong(Scale, {})
    assert "`message` is missing" in wrong(Chat, {})


def test_all_that_does_not_fit_is_named_at_once() -> None:
    """Who has made two mistakes is told of both."""
    text = wrong(Spawn, {"cluster_id": 1, "agent": {**AGENT, "name": 2}})

    assert text.split("; ") == [
        "expected a string, got 1 at payload.cluster_id",
        "expected a string, got 2 at payload.agent.name",
    ]


def test_a_validators_words_are_passed_on() -> None:
    """What a class itself says of a value reaches the producer."""
    assert "number is 3, expected an even one" in wrong(Even, {"number": 3})


def test_a_long_value_is_cut() -> None:
    """An error doesn't repeat a document."""
    assert len(wrong(Spawn, SPAWN | {"count": "x" * 10_000})) < 200


ANNOTATIONS = [Spawn, Scale, Chat, Boxed[int], Child, Even, dict[str, int], dict]
fields = st.sampled_from(["cluster_id", "agent", "count", "message", "inside", "number", "labels"])
deeper = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(ANNOTATIONS), st.dictionaries(fields, deeper, max_size=5) | objects)
def test_any_object_is_a_payload_or_an_error_of_ours(
    annotation: Any, payload: dict[str, Any]
) -> None:
    """Whatever a producer sends, the reader builds it or raises its own error, in words."""
    try:
        reader(annotation)(payload)
    except InvalidPayloadError as error:
        words = str(error)
    else:
        words = "built"
    assert words


def test_unknown_keys_are_tolerated_and_known() -> None:
    """A payload may have more keys than its class; the reader says which."""
    payload = SPAWN | {"later": 1, "more": 2}

    assert reader(Spawn)(payload) == reader(Spawn)(SPAWN)
    assert reader(Spawn).unknown(payload) == {"later", "more"}
    assert reader(Spawn).unknown(SPAWN) == frozenset()
    assert reader(Chat).unknown({"message": "", "later": 1}) == {"later"}
    assert reader(dict).unknown(payload) == frozenset()


def test_unknown_keys_are_said_once(lines: list[str]) -> None:
    """Each unknown key of a type is logged once, not with each task."""
    said = UnknownKeys()

    for task_type, key in [("t", "b"), ("t", "a"), ("t", "b"), ("u", "b")]:
        said.report(task_type, frozenset({key}))

    assert [line.partition(";")[0] for line in lines] == [
        "Payloads of type t have a key that the handler doesn't know: 'b'",
        "Payloads of type t have a key that the handler doesn't know: 'a'",
        "Payloads of type u have a key that the handler doesn't know: 'b'",
    ]


def test_unknown_keys_are_said_of_a_bounded_number(lines: list[str]) -> None:
    """A producer that invents keys fills neither the log nor the memory."""
    said = UnknownKeys()

    for number in range(1_100):
        said.report("t", frozenset({f"key{number}" + "x" * 1_000}))

    assert len(lines) == 1_000
    assert max(map(len, lines)) < 300


@frozen
class When:
    at: datetime


def test_a_time_is_read_from_its_text() -> None:
    """Cattrs' own conversions of JSON (times, here) work, and say what they can't read."""
    assert reader(When)({"at": "2024-02-17T10:30:00"}) == When(
        datetime.fromisoformat("2024-02-17T10:30:00")
    )
    assert "payload.at" in wrong(When, {"at": "noon"})
    assert "payload.at" in wrong(When, {"at": 5})
