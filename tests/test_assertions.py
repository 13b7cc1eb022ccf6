"""Assertions in the package tell a type checker what is known; what must be checked is checked under ``-O``, too."""

import ast
from pathlib import Path

import pytest

import bdnn

ROOT = Path(bdnn.__file__).parent


def narrows(test):
    """Whether a condition only says that something is not None, or of some class."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return all(map(narrows, test.values))
    if isinstance(test, ast.Compare):
        (operator,), (right,) = test.ops, test.comparators
        return isinstance(operator, ast.IsNot) and isinstance(right, ast.Constant) and right.value is None
    return isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance"


def places():
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert):
                yield path.relative_to(ROOT), node


def test_no_assertion_carries_a_proof():
    found = list(places())
    assert len(found) > 10  # they are looked for in the right place
    assert [f"{path}:{node.lineno}" for path, node in found if not narrows(node.test)] == []


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("x is not None", True), ("x is not None and y.z is not None", True), ("isinstance(x, int)", True),
     ("x is None", False), ("x.status == 0", False), ("len(x) == 3", False), ("x[k] is None", False)],
)  # fmt: skip
def test_what_narrows(condition, expected):
    assert narrows(ast.parse(condition, mode="eval").body) == expected
