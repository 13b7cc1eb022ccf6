"""The covering program of an output function, against its definition by all solutions."""

import itertools

import numpy as np
import pytest

from bdnn import Problem
from bdnn.branch_and_cut.output_functions import functions
from bdnn.branch_and_cut.program import Points, Program, covers, programs
from bdnn.problem.presolve import presolve

EACH = [f for d in (1, 2, 3) for f in functions(d)] + list(functions(4)[::5]) + list(functions(5)[::40])
NAMES = [f"{f.weights}>={f.threshold}" for f in EACH]


def problem(X, y, hidden=(2,), **settings):
    return Problem(X=np.asarray(X, dtype=float), y=y, hidden_layer_sizes=hidden, **settings)


def line(d):
    """Four points, of which 0 is to be off and 1 on."""
    return Points.of(presolve(problem([[0], [1], [2], [3]], [0, 1, 1, 0], (d,))))


def fires(f, u):
    return bool(np.dot(f.weights, u) >= f.threshold)


def holds(links, value):
    """Whether Σ z <= |Q| - 1 + e, for all links."""
    return all(value[c[1:]].sum() <= len(c) - 2 + value[c[0]] for c in links)


@pytest.mark.parametrize("f", EACH, ids=NAMES)
def test_links_say_when_the_network_is_right(f):
    d = f.n_bits
    program = Program.of(line(d), f)
    assert program.n_neurons == d
    assert program.columns.shape == (4, d)
    for i, sign in enumerate((-1.0, 1.0)):
        own = [columns for point, _, columns in program.linking_rows if point == i]
        assert all(columns[0] == i for columns in own)
        mine = sorted({i, *program.columns[i].tolist()})
        seen, value = {0: set(), 1: set()}, np.zeros(len(program.cost), dtype=int)
        for bits in itertools.product([0, 1], repeat=len(mine)):
            value[mine] = bits
            if holds(own, value):
                seen[value[i]].add(tuple(value[program.columns[i]].tolist()))
        right = {z for z in itertools.product([0, 1], repeat=d) if fires(f, given_up(z, sign)) == (sign > 0)}
        # without an error exactly what keeps the function right, with one whatever the neurons do
        assert seen[0] == right
        assert (1,) * d in seen[1]


def given_up(z, sign):
    """Bits if the neurons do the opposite of what they should where z is 1."""
    return [1 - a if sign > 0 else a for a in z]


@pytest.mark.parametrize("f", EACH, ids=NAMES)
def test_columns_and_links_are_numbered(f):
    points = line(f.n_bits)
    program = Program.of(points, f)
    p, v = len(points), len(program.cost)
    assert program.cost.tolist() == points.weight.tolist() + [0] * (v - p)
    own = program.columns[program.columns >= p]
    assert sorted(own.tolist()) == list(range(p, v))
    shared = [(i, j) for i, j in zip(*np.nonzero(program.columns < p), strict=True)]
    assert all(program.columns[i, j] == i for i, j in shared)
    for i, sign in enumerate(points.signs):
        sets = f.blockers if sign > 0 else f.implicants
        many = [q for q in sets if len(q) > 1]
        links = [(k, columns) for point, k, columns in program.linking_rows if point == i]
        assert [k for k, _ in links] == list(range(len(many)))
        for (_, columns), q in zip(links, many, strict=True):
            assert columns.tolist() == [i, *program.columns[i, list(q)]]
        assert {j for point, j in shared if point == i} == {q[0] for q in sets if len(q) == 1}


@pytest.mark.parametrize("f", EACH, ids=NAMES)
def test_the_network_computes_the_function(f):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1, 1e3, 1e-3] + [0, 1e4, 0]
    X = np.column_stack([X, np.full(300, 7.0)])  # and a column that is left out
    reduced = presolve(problem(X, rng.integers(0, 2, 300), (f.n_bits,)))
    program = Program.of(Points.of(reduced), f)
    weights = rng.normal(size=(f.n_bits, 4))
    network = program.network(weights)
    assert network.widths == (f.n_bits, 1)
    assert network.n_features == 4
    # reduced inputs, by the rows of the reduced points
    bits = (reduced.X @ weights[:, :-1].T + weights[:, -1] >= 0).astype(int)
    expected = bits @ np.array(f.weights) >= f.threshold
    assert len(np.unique(bits, axis=0)) > 1
    assert np.array_equal(network.predict(np.asarray(reduced.raw_points)), expected.astype(int))


def test_a_single_neuron():
    points = Points.of(presolve(problem([[0, 0], [1, 0], [0, 1]], ["no", "yes", "no"], ())))
    (program,) = programs(points.reduced)
    assert (program.n_neurons, program.linking_rows, program.columns.tolist()) == (1, [], [[0], [1], [2]])
    network = program.network(np.array([[1.0, 0.5, 0.25]]))
    assert network.widths == (1,)
    scores = points.rows * points.signs[:, None] @ [1.0, 0.5, 0.25]
    given = network.predict(points.reduced.raw_points[points.point])
    assert given.tolist() == ["yes" if score >= 0 else "no" for score in scores]


@pytest.mark.parametrize(("hidden", "count"), [((), 1), ((1,), 1), ((2,), 2), ((3,), 5), ((4,), 17), ((5,), 92)])
def test_one_program_for_each_function(hidden, count):
    made = programs(presolve(problem([[0], [1], [2]], [0, 1, 0], hidden)))
    assert [program.function for program in made] == list(functions(hidden[0] if hidden else 1))
    assert len(made) == count
    assert all(program.points is made[0].points for program in made)


def test_points_that_want_something():
    X = [[0], [0], [1], [1], [2], [3], [3]]
    weight = [1, 3, 2, 2, 5, 0, 4]
    points = Points.of(presolve(problem(X, [0, 1, 0, 1, 0, 0, 1], sample_weight=weight)))
    raw = points.reduced.raw_points[points.point].ravel().tolist()
    wanted = dict(
        zip(raw, zip(points.signs.tolist(), (points.weight * points.unit).tolist(), strict=True), strict=True)
    )
    assert wanted == {0.0: (1.0, 2.0), 2.0: (-1.0, 5.0), 3.0: (1.0, 4.0)}
    assert points.exact
    assert len(points) == 3
    assert points.base == 3.0  # one of 1 and one of 2


def test_rows_have_the_sign_that_is_wanted():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=20) * 50 + 1000, np.ones(20), rng.integers(0, 3, 20)])
    points = Points.of(presolve(problem(X, rng.integers(0, 2, 20))))
    raw = points.reduced.raw_points[points.point][:, [0, 2]]
    assert np.array_equal(points.raw_rows, points.signs[:, None] * np.column_stack([raw, np.ones(20)]))
    assert np.array_equal(points.rows[:, -1], points.signs)
    # the same separators: reduced inputs are an affine map of the raw ones
    scale, center = points.reduced.scale[[0, 2]], points.reduced.center[[0, 2]]
    np.testing.assert_allclose(points.rows[:, :-1] * points.signs[:, None], (raw - center) / scale)


@pytest.mark.parametrize(
    ("weight", "exact"),
    [
        ([1, 2, 3, 4], True),
        ([6, 9, 12, 3], True),
        ([0.5, 1.5, 0.5, 2.0], True),
        ([0.1, 0.7, 0.33, 0.2], False),
        ([1.0, 1e-12, np.pi, 2.0], False),
        ([1.0, 2.0**40, 2.0, 3.0], False),
        ([1e-200, 3e-200, 2e-200, 2e-200], None),
        ([1e140, 3e140, 2.7e140, 2e140], None),
    ],
)
def test_costs_in_units_are_multiples_or_rounded_down(weight, exact):
    points = Points.of(presolve(problem([[0], [1], [2], [3]], [0, 1, 1, 0], sample_weight=weight)))
    raw = points.reduced.raw_points[points.point].ravel().astype(int)
    true = np.array(weight)[raw]
    given = points.weight * points.unit
    assert points.weight.dtype == np.int64 and points.weight.max() <= 1 << 30
    assert exact is None or points.exact == exact
    if points.exact:
        assert np.array_equal(given, true)
    assert np.all(given <= true * (1 + 1e-15))
    assert np.all(given >= true - points.unit)
    for loss in (0.0, true[0], true[:3].sum()):
        assert points.loss(points.units(loss)) == pytest.approx(loss, abs=points.unit)


def test_losses_of_whole_units_are_whole():
    points = Points.of(presolve(problem([[0], [1], [2], [3]], [0, 1, 1, 0], sample_weight=[0.1, 0.3, 0.2, 0.1])))
    if points.exact:
        for units in range(8):
            assert points.units(points.loss(units)) == units
    points = Points.of(presolve(problem([[0], [0], [2], [3]], [0, 1, 1, 0], sample_weight=[0.25, 0.5, 0.75, 0.5])))
    assert points.exact
    for units in range(8):
        assert points.units(points.loss(units)) == units
        assert points.units(points.loss(units + 0.5)) == pytest.approx(units + 0.5)


REASONS = {
    "integer weights": {"weights": "integer"},
    "no biases": {"fit_intercept": False},
    "a regularizer": {"regularizer": "l1", "regularization": 0.1},
    "a robust radius": {"robust_radius": 0.1},
    "more than one hidden layer": {"hidden": (2, 2)},
    "more than five hidden neurons": {"hidden": (6,)},
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_is_not_covered(reason):
    assert covers(presolve(problem([[0], [1], [2]], [0, 1, 0], **REASONS[reason]))) == reason


@pytest.mark.parametrize("hidden", [(), (1,), (5,)], ids=str)
def test_what_is_covered(hidden):
    made = problem([[0.5], [1], [2]], [0, 1, 0], hidden, sample_weight=[1, 0.3, np.pi], validation=([[0.0]], [1]))
    assert covers(presolve(made)) == ""
