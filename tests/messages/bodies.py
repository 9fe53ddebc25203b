"""Bodies of tasks, good and bad, for the tests of the codec."""

import json
from typing import Any

from hypothesis import strategies as st

CREATED = "2024-02-17T10:30:00Z"


def body(**changes: Any) -> bytes:
    """Return a good body with fields changed; a field set to `...` is left out."""
    fields = {"id": "t-1", "type": "spawn_agent", "payload": {}, "created_at": CREATED} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def raw_body(**changes: str) -> bytes:
    """Return a good body in which fields have the JSON text that is given."""
    texts = {"id": '"t-1"', "type": '"t"', "payload": "{}", "created_at": f'"{CREATED}"'} | changes
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)
