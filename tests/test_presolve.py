"""Presolve: what is merged and dropped, against brute force, and what it costs."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

from bdnn import Problem
from bdnn.errors import InputError
from bdnn.problem.presolve import presolve

pytestmark = pytest.mark.filterwarnings("error")

HEADS = [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3), ("argmax", 4)]


def random_problem(seed, head, n_classes, **changes):
    """Few distinct rows, conflicting labels, weights that are eighths, some zero, a constant column."""
    rng = np.random.default_rng([seed, n_classes])
    m = 40
    X = np.column_stack([rng.integers(-1, 2, (m, 2)), np.full(m, 3.0), rng.integers(0, 2, m) * 10.0])
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, m - n_classes)])
    weight = rng.integers(0, 9, m) / 8
    weight[:n_classes] = 1.0
    settings = {"X": X, "y": y, "sample_weight": weight, "head": head, "hidden_layer_sizes": (2,)}
    return Problem(**(settings | changes))


def groups(problem, X=None):
    """Total weight of each label at each distinct row of positive weight."""
    totals = defaultdict(lambda: [0.0] * len(problem.classes))
    for x, code, w in zip((problem.X if X is None else X).tolist(), problem.codes, problem.sample_weight, strict=True):
        if w > 0:
            totals[tuple(v + 0.0 for v in x)][code] += w
    return dict(totals)


def answers(problem):
    """Every answer that a classifier can give at one point, as a function of the label: its loss."""
    n = len(problem.classes)
    if problem.head == "argmax" or n == 2:
        return [[float(label != answer) for label in range(n)] for answer in range(n)]
    outputs = itertools.product((0, 1), repeat=n)
    return [[float(sum(u != (c == label) for c, u in enumerate(out))) for label in range(n)] for out in outputs]


def cheapest(problem, weights):
    return min(sum(w * loss for w, loss in zip(weights, losses, strict=True)) for losses in answers(problem))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_merging_and_losses_by_brute_force(head, n_classes, seed):
    problem = random_problem(seed, head, n_classes)
    reduced, expected = presolve(problem), groups(problem)
    one_hot = head == "threshold" and n_classes > 2
    assert reduced.n_distinct == len(expected)
    assert reduced.irreducible == sum(cheapest(problem, w) for w in expected.values())
    # a point where every label weighs the same costs the same whatever is predicted
    indifferent = {x for x, w in expected.items() if len(set(w)) == 1 and not one_hot}
    assert reduced.constant == sum(cheapest(problem, expected[x]) for x in indifferent)
    rows = {x: w for x, w in expected.items() if x not in indifferent}
    raw = reduced.X * reduced.scale[reduced.kept] + reduced.center[reduced.kept]
    got = {}
    for x, w in zip(raw.tolist(), reduced.class_weight.tolist(), strict=True):
        full = reduced.center.copy()
        full[reduced.kept] = x
        got[tuple(full.tolist())] = w
    assert got == rows
    assert len(reduced.X) == len(rows)
    assert reduced.label_totals().sum() == sum(map(sum, rows.values()))
    assert reduced.kept.tolist() == [0, 1, 3]


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_costs_of_firing_by_brute_force(n_classes):
    reduced = presolve(random_problem(9, "threshold", n_classes))
    n_outputs = 1 if n_classes == 2 else n_classes
    cost_on, cost_off = reduced.problem.loss.costs(reduced.class_weight)
    assert cost_on.shape == cost_off.shape == (len(reduced.X), n_outputs)
    for point, weights in enumerate(reduced.class_weight.tolist()):
        for output in range(n_outputs):
            should_fire = [label == (1 if n_outputs == 1 else output) for label in range(n_classes)]
            on = sum(w for w, fire in zip(weights, should_fire, strict=True) if not fire)
            off = sum(w for w, fire in zip(weights, should_fire, strict=True) if fire)
            assert (cost_on[point, output], cost_off[point, output]) == (on, off)


def test_no_row_is_merged_that_differs_in_one_bit():
    X = [[1.0, 0.1 + 0.2], [1.0, 0.3], [1.0, 0.3], [2.0, 0.3]]
    reduced = presolve(Problem(X=X, y=[0, 1, 0, 1]))
    assert reduced.n_distinct == 3
    assert (reduced.irreducible, reduced.constant) == (1.0, 1.0)


def test_negative_zero_equals_zero():
    reduced = presolve(Problem(X=[[0.0, 1.0], [-0.0, 1.0], [1.0, -0.0]], y=[0, 1, 1], sample_weight=[1, 3, 1]))
    assert reduced.n_distinct == 2
    assert reduced.irreducible == 1.0


def test_rows_without_weight_do_not_count():
    X = [[0.0, 5.0, 1.0], [1.0, 5.0, 0.0], [7.0, 6.0, 0.5]]
    reduced = presolve(Problem(X=X, y=[0, 1, 0], sample_weight=[1, 1, 0]))
    assert reduced.n_distinct == 2
    assert reduced.kept.tolist() == [0, 2]
    assert reduced.scale.tolist() == [1.0, 1.0, 1.0]
    assert reduced.X.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_losing_weights_are_added_not_subtracted():
    # 1e16 + 1 - 1e16 would be 0
    problem = Problem(X=[[0.0], [0.0], [1.0]], y=[0, 1, 1], sample_weight=[1e16, 1.0, 1.0])
    assert presolve(problem).irreducible == 1.0


@pytest.mark.parametrize(
    ("head", "kept", "constant", "irreducible"), [("argmax", 2, 2.0, 2.0), ("threshold", 3, 0.0, 3.0)]
)
def test_labels_that_weigh_the_same_still_matter_to_one_hot_outputs(head, kept, constant, irreducible):
    # at the first point an argmax errs on two of the labels whatever it says; one-hot outputs do best by not firing
    problem = Problem(X=[[0.0]] * 3 + [[1.0], [2.0]], y=[0, 1, 2, 0, 1], head=head)
    reduced = presolve(problem)
    assert (len(reduced.X), reduced.constant, reduced.irreducible) == (kept, constant, irreducible)


def test_everything_indifferent():
    reduced = presolve(Problem(X=[[0.0, 1.0], [0.0, 1.0]], y=[0, 1], sample_weight=[2, 2]))
    assert reduced.X.shape == (0, 0)
    assert (reduced.constant, reduced.irreducible, reduced.n_distinct) == (2.0, 2.0, 1)


@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("columns", [0, 1])
def test_no_varying_column(columns, weights):
    problem = Problem(X=np.full((3, columns), 4.0), y=[0, 1, 1], weights=weights)
    reduced = presolve(problem)
    assert reduced.X.shape == (1, 0)
    assert reduced.class_weight.tolist() == [[1.0, 2.0]]
    assert reduced.irreducible == 1.0


@pytest.mark.parametrize(
    ("weights", "step", "unit"),
    [
        ([1, 1, 1], 1.0, 1.0),
        ([4, 6, 0], 2.0, 2.0),
        ([4, 6, 9], 1.0, 1.0),
        ([0.5, 1.5, 2.0], 0.5, 0.5),
        ([3.75, 4.25, 6.5], 0.25, 0.25),
        ([0.75, 1.5, 12.0], 0.75, 0.75),
        ([2.0**-40, 1.0, 2.0], 2.0**-40, 2.0**-40),
        ([0.25, 0.3, 1.0], 0.0, (0.25 + 0.3 + 1.0) / 3),
        ([0.25, 0.3, 0.0], 0.0, 0.275),
        ([2.0**60, 2.0**61, 2.0**60], 2.0**60, 2.0**60),
        ([0.1, 0.2, 0.4], 0.1, 0.1),
    ],
)
def test_unit_of_the_loss(weights, step, unit):
    reduced = presolve(Problem(X=[[0], [1], [2]], y=[0, 1, 1], sample_weight=weights))
    assert reduced.loss_step == step
    assert reduced.loss_unit == pytest.approx(unit, rel=1e-15)
    if step:
        for subset in itertools.product((0, 1), repeat=3):
            assert math.fsum(w * s for w, s in zip(weights, subset, strict=True)) / step % 1 == pytest.approx(
                0, abs=1e-9
            )


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_reduced_inputs_are_centered_at_the_lower_median_and_scaled(weights):
    X = np.array([[5.0, -7.0], [5.0, 1.0], [5.0, 2.0], [25.0, 3.0], [15.0, 33.0], [15.0, 33.0]])
    reduced = presolve(Problem(X=X, y=[0, 1, 0, 1, 0, 1], weights=weights, fit_intercept=True))
    # distinct points without the last two, which are the same with both labels
    assert reduced.center.tolist() == [5.0, 1.0]
    assert reduced.scale.tolist() == ([20.0, 8.0] if weights == "continuous" else [1.0, 1.0])
    expected = (np.array([[5.0, -7.0], [5.0, 1.0], [5.0, 2.0], [25.0, 3.0]]) - [5.0, 1.0]) / reduced.scale
    assert reduced.X.tolist() == expected.tolist()


def test_continuous_inputs_reach_one_and_never_exceed_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) * 10.0 ** rng.integers(-140, 140, 4) + rng.normal(size=4)
    reduced = presolve(Problem(X=X, y=rng.integers(0, 2, 50)))
    assert np.abs(reduced.X).max(axis=0).tolist() == [1.0] * reduced.X.shape[1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("factor", "shift"), [(1e6, 0.0), (1.0, 1e7), (1e6, 1e7), (1e-6, 0.0), (2.0**-40, 2.0**10)])
def test_scaling_and_shifting_columns_changes_nothing(factor, shift, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-8, 9, (40, 3)) / 4
    X[:, 1] = rng.integers(0, 2, 40)
    y = rng.integers(0, 2, 40)
    moved = X.copy()
    moved[:, 0] = X[:, 0] * factor + shift
    one, two = (presolve(Problem(X=data, y=y)) for data in (X, moved))
    assert two.class_weight.tolist() == one.class_weight.tolist()
    assert (two.n_distinct, two.constant, two.irreducible) == (one.n_distinct, one.constant, one.irreducible)
    assert two.kept.tolist() == one.kept.tolist()
    # quarters times 1e6, and quarters plus 1e7, are exact floats; 1e-6 is not
    assert two.X == pytest.approx(one.X, abs=0 if factor != 1e-6 else 1e-15)


@pytest.mark.parametrize("hidden", [(), (2,)])
@pytest.mark.parametrize("head", ["threshold", "argmax"])
def test_common_divisor_of_integer_inputs(head, hidden):
    rng = np.random.default_rng(1)
    base = rng.integers(-3, 4, (30, 3)).astype(float)
    X = 12 * base + np.array([5.0, -7.0, 1000.0])
    y = rng.integers(0, 3, 30)
    reduced = presolve(Problem(X=X, y=y, weights="integer", head=head, hidden_layer_sizes=hidden))
    # an argmax of the inputs themselves compares thresholds, so they must not be divided
    divisor = 1 if head == "argmax" and not hidden else 12
    assert reduced.scale.tolist() == [divisor] * 3
    assert np.array_equal(reduced.X, np.rint(reduced.X))
    raw = reduced.X * divisor + reduced.center
    assert {tuple(row) for row in raw.tolist()} <= {tuple(row) for row in X.tolist()}


def test_without_biases_nothing_is_shifted():
    X = [[4.0, 6.0, 0.0], [4.0, 10.0, 0.0], [4.0, -2.0, 0.0]]
    for weights, scale in (("continuous", [4.0, 10.0, 1.0]), ("integer", [2.0, 2.0, 2.0])):
        reduced = presolve(Problem(X=X, y=[0, 1, 1], weights=weights, fit_intercept=False))
        assert reduced.center.tolist() == [0.0, 0.0, 0.0]
        # a constant that is not zero acts as the missing bias
        assert reduced.kept.tolist() == [0, 1]
        assert reduced.scale.tolist() == scale


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
def test_inputs_that_are_not_integers_are_quantised(bits):
    rng = np.random.default_rng(bits)
    X = rng.normal(size=(30, 2)) * np.array([1.0, 1e6]) + np.array([0.0, 1e7])
    weight = np.ones(30)
    X[0], weight[0] = [99.0, 0.0], 0.0
    problem = Problem(X=X, y=rng.integers(0, 2, 30), sample_weight=weight, weights="integer", input_bits=bits)
    reduced = presolve(problem)
    assert reduced.grid.bits == bits
    # the grid spans the rows that count
    assert reduced.grid.offset.tolist() == X[1:].min(axis=0).tolist()
    Q = reduced.grid.quantize(X)
    assert Q[1:].max(axis=0).tolist() == [2**bits - 1] * 2
    assert reduced.n_distinct == len(groups(problem, Q))
    assert np.array_equal(reduced.X, np.rint(reduced.X))


def test_integer_inputs_are_not_quantised():
    assert presolve(Problem(X=[[0.0, 300.0], [1e6, -5.0]], y=[0, 1], weights="integer")).grid is None
    assert presolve(Problem(X=[[0.5, 300.0], [1e6, -5.0]], y=[0, 1], weights="continuous")).grid is None


def test_columns_of_tiny_deviation_are_refused_by_name():
    data = {"X": [[0.0, 1.0], [1e-151, 1.0]], "y": [0, 1], "feature_names": ["left", "right"]}
    with pytest.raises(InputError, match="column 'left' varies by less than 1e-150"):
        presolve(Problem(**data))
    assert presolve(Problem(X=[[0.0], [1e-149]], y=[0, 1])).X.tolist() == [[0.0], [1.0]]
    # next to 1 a deviation of one unit in the last place is the smallest there is
    assert presolve(Problem(X=[[1.0], [1 + 2.0**-52]], y=[0, 1])).scale.tolist() == [2.0**-52]
    with pytest.raises(InputError, match="column 0 varies too little for a grid"):
        presolve(Problem(X=[[0.0], [1e-320]], y=[0, 1], weights="integer"))


@pytest.mark.parametrize(
    ("X", "bound"), [([[2.0**50 + 2], [0]], 1), ([[2.0**36], [1]], 2**15), ([[2.0**49] * 3, [0, 0, 0]], 1)]
)
def test_integers_too_large_for_exact_sums_are_refused(X, bound):
    with pytest.raises(InputError, match="integer inputs are too large to be used exactly"):
        presolve(Problem(X=X, y=[0, 1], weights="integer", weight_bound=bound))


def test_scope_names_the_class_of_networks():
    data = {"X": [[0.5], [1.0]], "y": [0, 1]}
    scope = presolve(Problem(**data, hidden_layer_sizes=(3, 2))).scope
    assert scope == "networks with 3-2 hidden neurons, threshold head, any real weights"
    integer = presolve(Problem(**data, weights="integer", weight_bound=4, hidden_layer_sizes=(), fit_intercept=False))
    assert integer.scope == (
        "networks with no hidden neurons, threshold head, "
        "integer weights in {-4..4}, inputs on the 8-bit grid, no biases"
    )
