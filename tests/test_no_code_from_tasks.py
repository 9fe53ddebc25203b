"""No byte of a task becomes code: no pickle, no eval, no import by a name that a task holds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    path for package in ("messages", "actors", "runtime") for path in (ROOT / package).rglob("*.py")
]

MODULES_FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "code", "runpy"}
CALLS_FORBIDDEN = {"eval", "exec", "compile", "__import__"}

ALLOWED = {
    ("runtime/__init__.py", "import_module"): "a table of its own, of what is imported late",
    ("runtime/cli/handler_modules.py", "import_module"): "the module of --handlers, an operator's",
    ("actors/process_child.py", "import_module"): "the module of a registered handler's function",
    ("actors/process_child.py", "exec_module"): "the script that the worker was started as",
}
"""Imports by a name, and whose name it is. None of them is a task's."""


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(name) | ast.Attribute(_, name):
                    yield name, node


def _is_bare(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_turns_bytes_into_code(path: Path) -> None:
    """No module imports what loads objects, evaluates text, or imports by a name not listed."""
    tree = ast.parse(path.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & MODULES_FORBIDDEN
    for name, call in _calls(tree):
        assert not (name in CALLS_FORBIDDEN and _is_bare(call)), ast.unparse(call)
        if name in {"import_module", "exec_module"}:
            assert (str(path.relative_to(ROOT)), name) in ALLOWED, ast.unparse(call)


def test_each_exception_is_still_there() -> None:
    """What is allowed above is what the code does; an exception that nobody needs is dropped."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in MODULES
        for name, _ in _calls(ast.parse(path.read_text()))
    }
    assert found >= ALLOWED.keys()
