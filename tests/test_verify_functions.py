"""Output functions of the checker of certificates, and the columns and links that follow from them."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn.checker import check as verify
from bdnn.checker import functions as verify_functions
from bdnn.errors import CertificateError
from certificates import Data, Program

SIGNED = ([[float(v)] for v in range(-3, 4)], [1, 0, 1, 0, 1, 0, 1], [1.0, 2.0, 1.0, 0.5, 1.5, 2.0, 1.0])


@pytest.mark.parametrize(("width", "count"), [(1, 1), (2, 2), (3, 5), (4, 17), (5, 92)])
def test_output_functions_are_those_that_are_known(width, count):
    """The counts are those of Muroga for functions that need all bits, up to permutation."""
    found = verify.functions(width)
    assert len(found) == len(set(found)) == count
    for function in found if width < 5 else found[::9]:
        implicants, blockers = [set(s) for s in function], [set(s) for s in verify.blockers(function)]
        patterns = [set(s) for k in range(width + 1) for s in itertools.combinations(range(width), k)]
        true = [u for u in patterns if any(s <= u for s in implicants)]
        false = [u for u in patterns if not any(s <= u for s in implicants)]
        assert all(all(u & t for t in blockers) for u in true) and all(any(not u & t for t in blockers) for u in false)
        assert all(any(not (t - {j}) & u for u in true) for t in blockers for j in t)
        assert set().union(*implicants) == set(range(width))
        A = [[j in u for j in range(width)] for u in true], [[j in u for j in range(width)] for u in false]
        rows = np.vstack([-np.column_stack([A[0], -np.ones(len(true))]), np.column_stack([A[1], -np.ones(len(false))])])
        assert linprog(np.zeros(width + 1), rows.astype(float), [0] * len(true) + [-1] * len(false)).status == 0


def test_all_threshold_functions_of_three_bits_are_there():
    tables = set()
    for weights in itertools.product(range(4), repeat=3):
        for threshold in range(1, 10):
            true = [u for u in itertools.product((0, 1), repeat=3) if np.dot(u, weights) >= threshold]
            if all(any((*u[:j], 1 - u[j], *u[j + 1 :]) not in true for u in true) for j in range(3)) and true:
                tables.add(min(tuple(sorted(tuple(u[k] for k in order) for u in true))
                               for order in itertools.permutations(range(3))))  # fmt: skip
    assert len(tables) == len(verify.functions(3))


def test_neurons_of_a_function_may_be_in_any_order():
    checked = verify_functions.check_functions
    swapped = [[tuple(sorted(2 - j for j in s)) for s in f] for f in verify.functions(3)]
    checked([[list(s) for s in verify_functions.canonical(f)] for f in swapped], 3)
    for sets in ([[0]], [[1], [0], [2]], [[0, 1], [0, 1, 2]], [[0, 1], []], [[1, 0], [2]], [[0, 3]], []):
        with pytest.raises(CertificateError, match="tree 0"):
            checked([sets], 3)
    with pytest.raises(CertificateError, match="not a threshold function"):
        checked([[[0, 1], [2, 3]]], 4)


def test_columns_and_links_agree_with_the_twin():
    data = Data(*SIGNED, [0, 1])
    for width in (1, 2, 3, 4):
        for function in verify.functions(width):
            program, z = Program(function, data, []), verify.columns(function, data.signs)
            assert {(i, j): z[i][j] for i in range(len(z)) for j in range(width)} == program.z
            for i, sign in enumerate(data.signs):
                rows = [{i: 1} | {z[i][j]: -1 for j in q} for q in verify.links(function, sign)]
                assert rows == [row for (point, _), (row, _) in program.links.items() if point == i]
