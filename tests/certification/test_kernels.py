"""Compiled kernels of certification against plain twins: sorting, linear programs, brute force and rational numbers."""

import itertools
import math
import threading
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from bdnn._native import certify as native
from bdnn.certification.projection import nearest
from bdnn.certification.support import (
    INF,
    ONE,
    TWO,
    proven_radius,
    support,
)
from bdnn.errors import InputError

NORMS = (INF, ONE, TWO)


def program(norm, W, alpha, low, high):
    """Distance of a polyhedron by another solver; inf if it is empty."""
    k, n = W.shape
    if norm == TWO:
        found = minimize(
            lambda e: 0.5 * e @ e,
            np.zeros(n),
            jac=lambda e: e,
            constraints={"type": "ineq", "fun": lambda e: W @ e + alpha, "jac": lambda e: W},
            bounds=list(zip(low, high, strict=True)),
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        return float(np.linalg.norm(found.x)) if found.success else math.inf
    both = np.hstack([np.eye(n), np.eye(n)])
    radius = [np.hstack([both, -np.ones((n, 1))])] if norm == INF else []
    found = linprog(
        np.r_[np.zeros(2 * n), 1.0] if norm == INF else np.r_[np.ones(2 * n), 0.0],
        A_ub=np.vstack([np.hstack([-W, W, np.zeros((k, 1))]), *radius]),
        b_ub=np.r_[alpha, np.zeros(n if norm == INF else 0)],
        bounds=np.c_[np.zeros(2 * n + 1), np.r_[high, -low, 1e9]],
    )
    return float(found.fun) if found.status == 0 else math.inf


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(15))
def test_nearest_points(norm, seed):
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(1, 8)), int(rng.integers(1, 12))
    W = rng.normal(size=(k, n))
    if seed % 3 == 1:
        W = rng.integers(-1, 2, size=(k, n)).astype(float)  # ties, equal rows, rows of zeros
    low, high = -rng.uniform(0.0, 2.0, size=n), rng.uniform(0.0, 2.0, size=n)
    low[rng.random(n) < 0.2] = 0.0
    alpha = rng.normal(size=k) - 0.3
    near = nearest(norm, W, alpha, low, high, math.inf)
    expected = program(norm, W, alpha, low, high)
    assert np.all(near.factors >= 0.0)
    if expected == math.inf:
        # an empty polyhedron has some distance that the multipliers prove, and if they can, an infinite one
        assert near.radius >= program(norm, W[:1], alpha[:1], low, high) - 1e-9 or near.radius == math.inf
        return
    assert near.radius == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert np.all(W @ near.point + alpha >= -1e-7)
    assert np.all((low - 1e-9 <= near.point) & (near.point <= high + 1e-9))
    size = {INF: np.abs(near.point).max(), ONE: np.abs(near.point).sum(), TWO: np.linalg.norm(near.point)}[norm]
    assert size == pytest.approx(near.radius, rel=1e-6, abs=1e-7)
    # the multipliers are a proof
    proven = proven_radius(norm, W, alpha, np.zeros(k), near.factors, low, high)
    assert proven == pytest.approx(near.radius, rel=1e-6, abs=1e-7) and proven <= expected * (1 + 1e-6) + 1e-9
    # beyond the distance nothing is asked
    assert nearest(norm, W, alpha, low, high, 0.5 * near.radius).radius >= 0.5 * near.radius


def test_nearest_points_without_rows_or_columns():
    for norm in NORMS:
        assert nearest(norm, np.zeros((0, 3)), np.zeros(0), -np.ones(3), np.ones(3), math.inf).radius == 0.0
        assert nearest(norm, np.zeros((1, 0)), -np.ones(1), np.zeros(0), np.zeros(0), math.inf).radius == math.inf
        assert nearest(norm, np.zeros((1, 2)), np.ones(1), np.zeros(2), np.zeros(2), math.inf).radius == 0.0


def subset_tree(rng, norm, k, n, whole=False, far=1.0):
    """A tree around a point, with the problem it stands for: rows, constants, weights, the goal and the box."""
    W, v = rng.normal(size=(k, n)), rng.integers(1, 4, size=k).astype(float)
    alpha = -far * rng.uniform(0.2, 1.5, size=k)
    low, high = -rng.uniform(0.5, 1.0, size=n), rng.uniform(0.5, 1.0, size=n)
    if whole:
        low, high = np.full(n, -2.0), np.full(n, 2.0)
    ball = math.inf if norm == INF else 1.0 if not whole else 2.0
    need = float(np.ceil(0.6 * v.sum())) - 0.5
    costs = np.ones((n, 3)) if whole and norm != INF else np.zeros((0, 3))
    reach = np.array([support(INF, np.abs(w), 1e9, -np.maximum(-low, high), np.maximum(-low, high))[0] for w in W])
    down = np.array([support(INF, -w, 1e9, low, high)[0] for w in W])
    M = np.maximum(-(alpha - down) / reach, 0.0) + 1e-11
    scaled, rows, columns = alpha / reach, W / reach[:, None], (low, high)
    if norm == ONE and not whole:
        rows, columns = np.hstack([rows, -rows]), (np.zeros(2 * n), np.r_[high, -low])
    weight = v / v.max()
    tree = native.SubsetTree(
        norm,
        np.ascontiguousarray(rows),
        scaled,
        np.full(k, 1e-12),
        M,
        weight,
        (need / v.max(), need / v.max()),
        ball,
        *columns,
        np.full(len(columns[0]), whole),
        costs,
    )
    return tree, (W, alpha, v, need, low, high, ball)


def reachable(norm, subset, W, alpha, low, high, ball):
    """Whether all neurons of a subset can be helpful at once within the ball."""
    rows = list(subset)
    return program(norm, W[rows], alpha[rows], low, high) <= (ball if ball < math.inf else 1e9)


def leaves(tree, nodes=10_000):
    """Sets at leaves of a tree that is searched to its end."""
    found = []
    while (stop := tree.explore(nodes)) != native.DONE:
        assert stop in (native.CANDIDATE, native.LEAF)
        if stop == native.LEAF:
            found.append(frozenset(np.flatnonzero(tree.found).tolist()))
    return found


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(6))
def test_subset_trees_find_what_brute_force_finds(norm, seed):
    rng = np.random.default_rng(seed)
    tree, (W, alpha, v, need, low, high, ball) = subset_tree(rng, norm, 6, 3)
    listed = leaves(tree)
    winning = [
        set(some)
        for size in range(7)
        for some in itertools.combinations(range(6), size)
        if v[list(some)].sum() > need and reachable(norm, some, W, alpha, low, high, ball)
    ]
    # every winning set that can be had holds a set of some leaf, and there are leaves only if it can be had, nearly
    assert all(any(leaf <= some for leaf in listed) for some in winning)
    if listed and not winning:
        assert any(reachable(norm, leaf, W, alpha + 1e-6, low, high, ball) for leaf in listed)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(6))
def test_subset_trees_over_integers(norm, seed):
    rng = np.random.default_rng(50 + seed)
    tree, (W, alpha, v, need, _, _, ball) = subset_tree(rng, norm, 5, 3, whole=True)
    lattice = np.array(list(itertools.product(range(-2, 3), repeat=3)), dtype=float)
    size = {INF: np.abs(lattice).max(axis=1), ONE: np.abs(lattice).sum(axis=1), TWO: np.linalg.norm(lattice, axis=1)}
    within = lattice[size[norm] <= ball]
    winning = (within @ W.T + alpha >= 0) @ v > need
    found = []
    while (stop := tree.explore(10_000)) != native.DONE:
        found.append(np.rint(tree.solution))
        if stop == native.LEAF and not tree.is_full:
            tree.branch_any()
    # leaves are divided until all columns are fixed: nothing that wins may have been pruned on the way
    for steps in within[winning]:
        assert any(np.array_equal(steps, one) for one in found)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(5))
def test_cell_trees_find_what_sampling_finds(norm, seed):
    rng = np.random.default_rng(100 + seed)
    k, n = 5, 3
    W, alpha = rng.normal(size=(k, n)), rng.normal(size=k)
    upper_weights, upper_bias = rng.integers(-2, 3, size=(1, k)).astype(float), np.array([-0.5])
    bits = alpha >= 0
    code = int(upper_weights[0] @ bits + upper_bias[0] >= 0)
    upper = native.UpperLayers(np.r_[upper_weights.ravel(), upper_bias], np.array([k, 1]), np.array([False]), code)
    low, high, ball = np.full(n, -1.0), np.ones(n), math.inf if norm == INF else 1.0
    rows, columns = W, (low, high)
    if norm == ONE:
        rows, columns = np.hstack([W, -W]), (np.zeros(2 * n), np.ones(2 * n))
    reach = np.abs(W).sum(axis=1)
    tree = native.CellTree(
        norm,
        np.ascontiguousarray(rows / reach[:, None]),
        alpha / reach,
        np.full(k, 1e-12),
        upper,
        ball,
        *columns,
        np.arange(k),
        np.stack([np.zeros(k), np.ones(k)]),
        np.ones(k),
        np.zeros(len(columns[0]), dtype=bool),
        np.zeros((0, 3)),
    )
    listed = []
    while (stop := tree.explore(10_000)) != native.DONE:
        if stop == native.LEAF:
            listed.append(tree.found)
    e = rng.uniform(-1, 1, size=(20_000, n))
    size = {INF: np.abs(e).max(axis=1), ONE: np.abs(e).sum(axis=1), TWO: np.linalg.norm(e, axis=1)}[norm]
    patterns = np.unique((e[size <= 1.0] @ W.T + alpha >= 0).astype(int), axis=0)
    changed = patterns[(patterns @ upper_weights[0] + upper_bias[0] >= 0) != bool(code)]
    for pattern in changed:
        assert any(np.all((leaf < 0) | (leaf == pattern)) for leaf in listed)


@pytest.mark.parametrize("seed", range(15))
def test_constant_classes_against_all_bits(seed):
    rng = np.random.default_rng(seed)
    widths = np.array([4, *rng.integers(1, 4, size=rng.integers(0, 3)), rng.integers(1, 4)])
    integer = seed % 2 == 0
    layers = []
    for a, b in itertools.pairwise(widths.tolist()):
        w, c = rng.integers(-2, 3, size=(b, a)) * 1.0, rng.integers(-2, 3, size=b) * 1.0
        layers.append((w, c) if integer else (w * 0.1, c * 0.1))
    numbers = np.concatenate([np.r_[w.ravel(), c] for w, c in layers])

    def exact_class(bits):
        values = [Fraction(int(b)) for b in bits]
        for k, (w, c) in enumerate(layers):
            sums = [
                sum((Fraction(a) * v for a, v in zip(row, values, strict=True)), Fraction(b))
                for row, b in zip(w.tolist(), c.tolist(), strict=True)
            ]
            if k == len(layers) - 1:
                return int(sums[0] >= 0) if len(sums) == 1 else sums.index(max(sums))
            values = [Fraction(int(s >= 0)) for s in sums]
        raise AssertionError

    for code in range(max(int(widths[-1]), 2)):
        upper = native.UpperLayers(numbers, widths, np.full(len(layers), integer), code)
        for low, high in ((rng.random(4) < 0.3, rng.random(4) < 0.7) for _ in range(10)):
            high = low | high
            free = np.flatnonzero(low != high)
            classes = set()
            for some in itertools.product((False, True), repeat=len(free)):
                bits = low.copy()
                bits[free] = some
                classes.add(exact_class(bits))
            said = upper.constant(low.astype(float), high.astype(float))
            assert not said or classes == {code}
            # bounds of single bits are exact with one layer of integers
            if integer and len(layers) == 1 and int(widths[-1]) <= 2:
                assert said == (classes == {code})


def exact_sum_sign(W, b, x):
    total = sum((Fraction(w) * Fraction(v) for w, v in zip(W.tolist(), x.tolist(), strict=True)), Fraction(b))
    return (total > 0) - (total < 0)


@pytest.mark.parametrize("seed", range(10))
def test_exact_classes_of_every_size(seed):
    # sums that cancel almost or fully, over the whole range of doubles, so that only exact ones tell the side
    rng = np.random.default_rng(seed)
    for _ in range(100):
        n = int(rng.integers(1, 6))
        power = rng.integers(-500, 500, size=n)
        w = rng.integers(-9, 10, size=n) * 2.0**power
        spread = rng.integers(0, 300, size=n)  # twice the precision is not enough for all
        x = rng.integers(-9, 10, size=n) * 2.0 ** np.clip(rng.integers(-600, 400) + spread - power, -1070, 1000)
        w, x = np.r_[w, -w], np.r_[x, x]
        if rng.random() < 0.7:
            x[0] = np.nextafter(x[0], rng.choice([-np.inf, np.inf]))
        order = rng.permutation(2 * n)
        w, x = np.ascontiguousarray(w[order]), np.ascontiguousarray(x[order])
        b = float(rng.choice([0.0, 5e-324, -5e-324, 1.0]))
        if not (np.isfinite(w).all() and np.isfinite(x).all()):
            continue
        sign = exact_sum_sign(w, b, x)
        assert native.Classifier([(w[None, :], np.array([b]))])(x) == int(sign >= 0)
        # against a second output that is 0: the first wins ties
        two = native.Classifier([(np.stack([np.zeros(2 * n), w]), np.array([0.0, b]))])
        assert two(x) == int(sign > 0)


def test_kernels_ask_whether_to_go_on():
    # a program that takes seconds is left as soon as the limit says so
    rng = np.random.default_rng(0)
    k, n = 400, 3000
    W = rng.normal(size=(k, n))
    inside = np.clip(0.3 * rng.normal(size=n), -1.0, 1.0)
    alpha = -W @ inside

    class EnoughError(Exception):
        pass

    asked = []

    def pause(nodes):
        asked.append(nodes)
        raise EnoughError

    for norm in NORMS:
        with pytest.raises(EnoughError):
            nearest(norm, W, alpha, -np.ones(n), np.ones(n), math.inf, pause)
    assert asked == [0, 0, 0]


def test_a_tree_serves_one_thread_at_a_time():
    # one node takes far longer than the time between two questions
    tree, _ = subset_tree(np.random.default_rng(5), INF, 400, 2000, far=100.0)
    began, answered, refused = threading.Event(), threading.Event(), []

    def pause(nodes):
        began.set()
        answered.wait()
        raise KeyboardInterrupt

    def other():
        began.wait()
        try:
            tree.explore(1)
        except InputError as error:
            refused.append(str(error))
        finally:
            answered.set()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        tree.explore(1, pause)
    thread.join()
    assert refused == ["this tree is in use by another thread"]
    assert tree.nodes == 1  # and it can be used again


def valid_arguments():
    """A call of each kernel that is right."""
    W, one, low, high = np.array([[1.0, -1.0]]), np.ones(1), -np.ones(2), np.ones(2)
    g, whole, costs = np.array([1.0, 2.0]), np.zeros(2, dtype=bool), np.ones((2, 3))
    return {
        "support": (INF, g, 1.0, low, high),
        "smallest_radius": (ONE, g, 1.0, low, high),
        "smallest_radii": (ONE, W, one, low, high),
        "magnitude": (TWO, g, 1.0, low, high),
        "magnitudes": (TWO, W, 1.0, low, high),
        "reaches": (TWO, W, 1.0, low, high),
        "excludes": (INF, W, one, one, one, 1.0, low, high),
        "proven_radius": (INF, W, one, one, one, low, high),
        "largest_move": (g, g),
        "support_steps": (ONE, g, 1.0, low, high, costs, whole),
        "nearest": (TWO, W, -one, low, high, 1.0),
        "SubsetTree": (INF, W, one, one, one, one, (1.0, 1.0), 1.0, low, high, whole, np.zeros((0, 3))),
    }


@pytest.mark.parametrize("name", sorted(valid_arguments()))
def test_wrong_arrays_are_refused(name):
    call, right = getattr(native, name), valid_arguments()[name]
    call(*right)
    for place, value in enumerate(right):
        if not isinstance(value, np.ndarray):
            continue
        wrong = [value.astype(np.float32 if value.dtype == bool else np.int32), value[None], value.tolist()]
        wrong += [np.zeros((*value.shape[:-1], value.shape[-1] + 1), dtype=value.dtype)]
        if value.size > 1:
            wrong.append(np.repeat(value, 2, axis=-1)[..., ::2])  # not contiguous
        for other in wrong:
            arguments = [*right[:place], other, *right[place + 1 :]]
            with pytest.raises(InputError):
                call(*arguments)
    if isinstance(right[0], int):
        for norm in (-1, 3):
            with pytest.raises(InputError, match="norm"):
                call(norm, *right[1:])


def test_points_outside_of_their_bounds_are_refused():
    W, one = np.array([[1.0]]), np.ones(1)
    for low, high in ((0.5, 1.0), (-1.0, -0.5), (np.nan, 1.0), (-1.0, np.nan)):
        with pytest.raises(InputError, match="must"):
            nearest(INF, W, -one, np.array([low]), np.array([high]), 1.0)
    with pytest.raises(InputError, match="code"):
        native.UpperLayers(np.ones(3), np.array([2, 1]), np.array([True]), 2)
    with pytest.raises(InputError, match="numbers"):
        native.UpperLayers(np.ones(3), np.array([2**30, 2**30]), np.array([True]), 0)
    with pytest.raises(InputError, match="finite"):
        native.Classifier([(np.array([[np.nan]]), np.zeros(1))])
    with pytest.raises(InputError, match="entries"):
        native.Classifier([(np.ones((2, 1)), np.zeros(2)), (np.ones((1, 3)), np.zeros(1))])
