"""Boosted trees that take few bytes: splits by brute force, networks that decide alike, and what is refused."""

import numpy as np
import pytest

from bdnn import Network
from bdnn._native import boosting
from bdnn.compact.boosting import Boosted, Cuts
from bdnn.compact.inputs import Source
from bdnn.compact.plans import Boosting, Plan, boosted
from bdnn.compact.proposals import Rows
from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError
from bdnn.network.packing import packed_size
from bdnn.network.schema import Schema


def rows_of(seed=0, m=300, classes=2):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(m, 3)), rng.integers(0, 40, m), rng.integers(0, 2, m)])
    score = X[:, 0] + 0.05 * X[:, 3] + X[:, 1] * X[:, 4] + 0.3 * rng.normal(size=m)
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    return Rows(X, y.astype(np.intp), rng.choice([0.5, 1.0, 2.0], m))


def source_of(X):
    return Source.of(Encoder.identity([f"x{j}" for j in range(X.shape[1])], X.shape[1], [0.0] * X.shape[1]), X)


def grown(rows, how, classes=2, most_bits=4000.0, proceed=None):
    cuts = Cuts.of(rows.X, source_of(rows.X), how.cuts)
    return Boosted.of(cuts, (cuts.bins(rows.X), rows), classes, how, most_bits, proceed)


def gain_of_split(g, h, passed, damping):
    parts = [(g[side].sum(), h[side].sum()) for side in (passed, ~passed)]
    return (sum(a * a / (b + damping) for a, b in parts) - g.sum() ** 2 / (h.sum() + damping)) / 2


@pytest.mark.parametrize("seed", range(5))
def test_the_first_split_is_the_best_there_is(seed):
    rows = rows_of(seed)
    how = Boosting(2, penalty=0.0, step=0.01)
    path = grown(rows, how)
    share = 1 / (1 + np.exp(-path.baseline[0] * how.step))
    g, h = rows.weight * (share - rows.y), rows.weight * share * (1 - share)
    gains = []
    for j, t in zip(path.cuts.feature, path.cuts.threshold, strict=True):
        passed = rows.X[:, j] >= t
        allowed = min(passed.sum(), (~passed).sum()) >= min(20, len(g) // 40 + 1)
        gains.append(gain_of_split(g, h, passed, how.damping) if allowed else -np.inf)
    assert gains[path.threshold[path.roots[0]]] == pytest.approx(max(gains), rel=1e-9)
    passed = rows.X[:, path.cuts.feature[path.threshold[0]]] >= path.cuts.threshold[path.threshold[0]]
    for side, leaf in ((~passed, path.first[0]), (passed, path.first[0] + 1)):
        value = -how.rate * g[side].sum() / (h[side].sum() + how.damping) / how.step
        assert path.values[path.first[leaf], 0] == round(value)


@pytest.mark.parametrize(("classes", "together"), [(2, False), (3, False), (4, True)])
def test_beginnings_are_networks(classes, together):
    rows = rows_of(1, classes=classes)
    path = grown(rows, Boosting(6, together), classes)
    bins = path.cuts.bins(rows.X)
    assert len(path) > 20 and (path.values != 0).any(axis=1).mean() > 0.5
    for trees in (1, 7, len(path)):
        inputs, layers = path.layers(trees)
        net = Network(layers, "threshold" if classes == 2 else "argmax", range(classes))
        np.testing.assert_array_equal(net.predict(inputs.values(rows.X)), path.answers(bins, trees))
    assert np.mean(path.answers(bins, len(path)) == rows.y) > 0.8


@pytest.mark.parametrize("together", [False, True])
def test_estimates_are_about_what_networks_take(together):
    rows = rows_of(2, m=900, classes=3)
    path = grown(rows, Boosting(8, together), 3, 20_000.0)
    source = source_of(rows.X)
    schema = Schema.of(_Known(source.encoder, np.arange(3)), rows.X)
    estimates = path.estimates()
    sizes = []
    for trees in (len(path) // 4, len(path) // 2, len(path)):
        inputs, layers = path.layers(trees)
        placed = inputs.placed(source, layers, "argmax", np.arange(3))
        sizes.append(packed_size(placed.network, schema, placed.encoder))
        assert estimates[trees - 1] / 8 == pytest.approx(sizes[-1], rel=0.15)

    def size(trees):
        inputs, layers = path.layers(trees)
        placed = inputs.placed(source, layers, "argmax", np.arange(3))
        return packed_size(placed.network, schema, placed.encoder)

    most = (sizes[0] + sizes[1]) // 2
    chosen = path.beginning(most, size)
    assert size(chosen) <= most < size(chosen + max(1, chosen // 10))


class _Known:
    def __init__(self, encoder, classes):
        self.encoder_in_use, self.classes = encoder, classes


@pytest.mark.parametrize(("classes", "together"), [(2, False), (3, False), (3, True)])
def test_stumps_that_ask_for_the_same_are_one_neuron(classes, together):
    rows = rows_of(5, classes=classes)
    path = grown(rows, Boosting(2, together), classes)
    inputs, layers = path.layers(len(path))
    net = Network(layers, "threshold" if classes == 2 else "argmax", range(classes))
    np.testing.assert_array_equal(net.predict(inputs.values(rows.X)), path.answers(path.cuts.bins(rows.X), len(path)))
    assert len(layers[0].weights) < 0.8 * len(path) and np.all(layers[0].bias == -1)


def test_penalties_save_thresholds_and_trees():
    rows = rows_of(3)
    free, dear = (grown(rows, Boosting(4, penalty=penalty), most_bits=10_000.0) for penalty in (0.0, 1e-3))
    used = [len(np.unique(path.threshold[path.threshold >= 0])) for path in (free, dear)]
    assert used[1] < used[0] and 0 < len(dear) < len(free)


def test_equal_rows_give_equal_trees_and_whoever_waits_may_stop():
    rows = rows_of(4)
    one, other = grown(rows, Boosting(8)), grown(rows, Boosting(8))
    for name in ("roots", "threshold", "first", "values", "baseline"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    many = rows_of(4, m=200_000)
    stopped = grown(many, Boosting(8), most_bits=1e8, proceed=lambda: False)
    assert len(stopped) < 100


def test_thresholds_lie_between_values_and_have_few_bits():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=500), rng.integers(-50, 50, 500), rng.integers(0, 2, 500), np.full(500, 3.0)])
    cuts = Cuts.of(X, source_of(X), 16)
    assert np.bincount(cuts.feature, minlength=4).tolist() == [16, 16, 1, 0]
    whole = cuts.threshold[cuts.feature == 1]
    assert np.array_equal(whole, np.rint(whole)) and cuts.threshold[cuts.feature == 2] == [1.0]
    bits = cuts.threshold[cuts.feature == 0].astype(np.float32).view(np.uint32)
    assert not np.any(bits & 0xFF) and len(np.unique(bits >> 16)) > 10
    bins = cuts.bins(X)
    np.testing.assert_array_equal(bins[0], (X[:, :1] >= cuts.threshold[cuts.feature == 0]).sum(axis=1))
    assert len(np.unique(bins[0])) == 17 and bins[3].max() == 0


def test_columns_that_no_short_threshold_divides_are_left_out():
    rng = np.random.default_rng(0)
    far, near = rng.choice([-1e300, 1e300, 3e300], 100), 1e6 + 1e-6 * rng.random(100)
    X = np.column_stack([far, near, rng.normal(size=100)])
    cuts = Cuts.of(X, source_of(X), 8)
    assert np.bincount(cuts.feature, minlength=3).tolist() == [1, 0, 8] and cuts.threshold[0] == 0.0
    y = (far > 0).astype(np.intp)
    path = grown(Rows(X, y, np.ones(100)), Boosting(2))
    np.testing.assert_array_equal(path.answers(path.cuts.bins(X), len(path)), y)


def test_plans_are_of_the_budgets_and_of_powers_of_two():
    sizes = [plan.size for plan in boosted((40, 1000), 2)]
    assert sorted(set(sizes)) == [32, 40, 64, 128, 256, 512, 1000]
    plan = Plan("boosted", 1000, trees=Boosting(8))
    assert plan.smaller == [32, 64, 128, 256, 512] and "8 leaves" in plan.text
    assert plan.is_near(Plan("boosted", 512, trees=Boosting(8))) and plan.is_near(
        Plan("boosted", 1000, trees=Boosting(16))
    )
    assert not plan.is_near(Plan("boosted", 1000, trees=Boosting(32)))


def given(**changes):
    arrays = {
        "bins": np.array([[0, 1, 2, 1]], dtype=np.uint8), "start": np.array([0, 2]), "codes": np.array([0, 1, 0, 1]),
        "weight": np.ones(4), "classes": 2, "price": np.ones(2), "leaves": 4, "together": False, "rate": 0.3,
        "step": 0.1, "bound": 9, "damping": 1.0, "least": 1, "penalty": 0.0, "input_price": 1.0, "split_price": 8.0,
        "tree_price": 5.0, "most_bits": 100.0, "proceed": None,
    }  # fmt: skip
    return boosting.grown(**arrays | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"bins": np.array([[0, 1, 3, 1]], dtype=np.uint8)}, {"start": np.array([0, 300])}, {"start": np.array([1, 2])},
        {"codes": np.array([0, 1, 2, 1])}, {"codes": np.array([0, 1])}, {"weight": np.zeros(4)}, {"price": np.ones(3)},
        {"weight": np.array([1, 1, 1, np.nan])}, {"leaves": 1}, {"rate": 0.0}, {"step": -1.0}, {"bound": 0},
        {"least": 0}, {"classes": 1}, {"most_bits": 1e12}, {"split_price": 0.0}, {"bins": np.zeros((1, 0), np.uint8)},
        {"bins": np.zeros((1, 4))},
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused(changes):
    assert len(given()) == 6
    with pytest.raises(InputError):
        given(**changes)


def test_sums_of_trees_that_are_none_are_refused():
    roots, output, threshold, first, values, baseline = given()
    trees = {"roots": roots, "output": output, "threshold": threshold, "first": first, "values": values.reshape(-1, 1)}
    table = {"bins": np.array([[0, 1, 2]], dtype=np.uint8), "start": np.array([0, 2])}
    sums = np.zeros((3, 1), dtype=np.int64)
    boosting.add(**table, **trees, sums=sums)
    assert sums.any() and len(baseline) == 1
    cyclic = first.copy()
    cyclic[0] = 0
    wrong = [
        {"first": cyclic}, {"roots": roots + 1000}, {"output": output - 2}, {"output": output + 1},
        {"threshold": threshold + 5}, {"values": np.zeros((1, 1), dtype=np.int64)}, {"first": first[:-1]},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(InputError):
            boosting.add(**table, **trees | change, sums=sums)
