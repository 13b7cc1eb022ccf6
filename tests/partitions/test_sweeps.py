"""The search over all rows: exact losses, and the same network however rows are cut."""

import math

import numpy as np
import pytest

from bdnn import Network, Problem
from bdnn.budget import Budget
from bdnn.errors import OutputError
from bdnn.network.losses import Loss
from bdnn.partitions.numbering import drawn
from bdnn.partitions.rows import StoredRows
from bdnn.partitions.store import Block, Store, packed
from bdnn.partitions.tasks import Audited, Change, Evaluation, Irreducible, Weights, exact_parts, places_of
from bdnn.partitions.training import improve
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from partitions.parts import Case, cuts_of, setting_of, stored


def network_of(case):
    layers, at, neuron = [], 0, 0
    for width, inputs in zip(case.widths, case.setting.inputs, strict=True):
        W = case.weights.W[at : at + width * inputs].reshape(width, inputs)
        layers.append((W, case.weights.b[neuron : neuron + width]))
        at, neuron = at + width * inputs, neuron + width
    return Network(layers, head=case.loss.head, classes=list(range(case.loss.n_classes)))


def problem_of(case):
    codes = case.codes.copy()
    codes[: case.loss.n_classes] = range(case.loss.n_classes)  # so that all classes are there
    case.codes = codes
    return Problem(
        X=case.X.T, y=codes, sample_weight=case.weight, hidden_layer_sizes=case.widths[:-1], head=case.loss.head
    )


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("seed", range(12))
def test_audits_of_parts_are_the_audit_of_all_rows(seed, parts):
    case = Case(seed)
    problem, network = problem_of(case), network_of(case)
    expected = audit(network, problem)
    found = case.rows(parts).total(Audited(network, None))
    assert (math.fsum(found.terms), found.n_wrong, found.n_rational) == (
        expected.loss, expected.n_wrong, expected.n_rational,
    )  # fmt: skip
    assert found.confusion.sum() == case.m
    searched = case.rows(parts).total(Evaluation(case.setting, case.weights))[0]
    if case.weight is None:
        assert searched == expected.loss  # with exact signs, and exact sums
    else:
        assert searched == pytest.approx(expected.loss, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_losses_after_changes_are_those_of_the_changed_networks(seed):
    case = Case(seed)
    place, n = places_of(case.setting)[-1]
    last = Change(len(case.weights.b) - 1, place, np.ones(n), 0.0)
    changes = (Change(0, 0, case.rng.normal(size=len(case.X)), 0.5), last)
    losses = case.rows(3).total(Evaluation(case.setting, case.weights, changes))
    weights = case.weights
    for change, loss in zip(changes, losses[1:], strict=True):
        weights = weights.changed(change)
        assert case.rows(1).total(Evaluation(case.setting, weights))[0] == pytest.approx(loss)


class Planted:
    """Rows whose labels a hidden network gives, a tenth of them turned over."""

    def __init__(self, m=3000, n=5, d=3, seed=0):
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(n, m)).astype(np.float32)
        W, v = rng.normal(size=(d, n)), rng.normal(size=d)
        self.codes = ((v @ (W @ self.X >= 0) >= v.sum() / 2) ^ (rng.random(m) < 0.1)).astype(int)
        self.loss, self.m = Loss("threshold", 2), m
        self.setting = setting_of(self.X, self.loss, (d, 1), m)
        first = (W + 0.4 * rng.normal(size=W.shape), np.zeros(d))
        self.start = Network([first, (v[None], [-v.sum() / 2])], head="threshold", classes=[0, 1])
        self.sample = Block(np.ascontiguousarray(self.X[:, ::4]), self.codes[::4])

    def improved(self, parts, budget, **more):
        cuts = cuts_of(self.m, parts, np.random.default_rng(parts))
        rows = StoredRows(stored(self.X, self.codes, None, cuts))
        return improve(rows, self.setting, [self.start], self.sample, budget, repeats=False, **more)


def test_the_network_is_the_same_however_rows_are_cut_and_better_than_the_start():
    case = Planted()
    found = [case.improved(parts, Budget(rounds=6, seed=3).start()) for parts in (1, 2, 7)]
    assert found[0].network == found[1].network == found[2].network
    first = found[0]
    assert first.audit.loss == first.loss < first.start_loss
    assert first.message == "round limit reached" and first.rounds == 6 and first.n_audited == case.m
    problem = Problem(X=case.X.T, y=case.codes, hidden_layer_sizes=(3,))
    assert audit(first.network, problem).loss == first.audit.loss
    assert audit(case.start, problem).loss == first.start_loss
    assert [step.objective for step in first.history] == sorted((s.objective for s in first.history), reverse=True)


def test_the_search_ends_where_nothing_is_left():
    case = Planted(m=200, n=2, d=1)
    found = case.improved(2, Budget(seed=1).start())
    assert found.message == "nothing left to improve"
    # no other bias of the only hidden neuron is better
    W = found.network.layers[0][0]
    for bias in np.sort(-(W @ case.X)[0])[:, None] + [0.0]:
        other = Network([(W, bias), found.network.layers[1]], head="threshold", classes=[0, 1])
        assert audit(other, Problem(X=case.X.T, y=case.codes, hidden_layer_sizes=(1,))).loss >= found.audit.loss


def test_ctrl_c_leaves_the_best_network_and_says_how_many_rows_were_audited(monkeypatch):
    monkeypatch.setattr("bdnn.partitions.training._REPORT", -1.0)  # the search may be over in less time
    case, calls = Planted(), []

    def listener(progress):
        calls.append(progress)
        if progress.rounds >= 2:
            raise KeyboardInterrupt

    found = case.improved(7, Budget(seed=3).start(), on_progress=listener)
    assert found.interrupted and found.message.startswith("interrupted")
    assert found.audit.loss <= found.start_loss and calls[-1].phase == "search on all rows"


def test_without_time_the_start_is_audited():
    case = Planted()
    budget = Budget(seconds=1e-9).start()
    found = case.improved(7, budget)
    assert found.message == "time limit reached" and found.network == case.start
    assert found.n_audited == case.m  # within the seconds that a limit may be exceeded by


def test_with_columns_that_must_not_be_used():
    case = Planted()
    W = case.start.layers[0][0].copy()
    W[:, 2:] = 0.0
    case.start = Network([(W, case.start.layers[0][1]), case.start.layers[1]], head="threshold", classes=[0, 1])
    found = case.improved(2, Budget(rounds=4).start(), allowed=np.array([0, 1]))
    assert found.loss < found.start_loss and not np.any(found.network.layers[0][0][:, 2:])


def test_irreducible_loss_of_parts_is_a_lower_bound():
    rng = np.random.default_rng(0)
    X, codes = rng.integers(0, 2, (3, 400)).astype(float), rng.integers(0, 2, 400)
    whole = presolve(Problem(X=X.T, y=codes)).irreducible
    setting = setting_of(X, Loss("threshold", 2), (1,), 400)
    bounds = [StoredRows(stored(X, codes, None, cuts_of(400, k, rng))).total(Irreducible(setting)) for k in (1, 2, 7)]
    assert bounds[0] == whole and whole >= bounds[1] >= bounds[2] > 0


def test_weights_are_exact_parts():
    terms = np.random.default_rng(1).random(1000).tolist()
    halves = [*exact_parts(terms[:300]), *exact_parts(terms[300:])]
    assert math.fsum(halves) == math.fsum(terms) and len(halves) < 10


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_draws_depend_on_the_number_of_a_row_alone(share):
    whole = drawn(10, 5000, share, 3, 1)
    assert np.array_equal(whole, np.concatenate([drawn(10, 1234, share, 3, 1), drawn(1244, 3766, share, 3, 1)]))
    assert abs(whole.mean() - share) < 0.03
    if share == 0.3:
        assert abs((whole & drawn(10, 5000, share, 3, 0)).mean() - 0.09) < 0.02  # purposes are independent


COLUMNS = [
    (np.array([0.0, 1.0]), np.int8), (np.array([-200.0, 3.0]), np.int16), (np.array([0.5, 2.0]), np.float32),
    (np.array([0.1, 2.0]), np.float64), (np.array([1e9, -1.0]), np.int32), (np.zeros(0), np.int8),
    (np.array([0.1, 3e38], dtype="f4"), np.float32), (np.array([1e15, 1.0]), np.float64),
    (np.array([1e300, 1.0]), np.float64),
]  # fmt: skip


@pytest.mark.parametrize(("column", "dtype"), COLUMNS)
def test_columns_are_packed_without_loss(column, dtype):
    small = packed(column)
    assert small.dtype == dtype and np.array_equal(small.astype(float), column.astype(float))


@pytest.mark.parametrize("memory", [0.0, 900.0, 1e9])
def test_blocks_come_back_as_they_went(tmp_path, memory):
    rng = np.random.default_rng(0)
    X, codes, weight = rng.integers(-3, 4, (4, 100)).astype(float), rng.integers(0, 3, 100), rng.random(100)
    X[1] = rng.normal(size=100)
    with stored(X, codes, weight, [0, 30, 70, 100], memory, tmp_path) as store:
        blocks = list(store)
        assert bool(list(tmp_path.iterdir())) == (memory < 1e9) and store.n_rows == 100
        assert (store.file_bytes > 0) == (memory < 1e9)
    assert np.array_equal(np.column_stack([b.X for b in blocks]), X)
    assert np.array_equal(np.concatenate([b.codes for b in blocks]), codes)
    assert np.array_equal(np.concatenate([b.weight for b in blocks]), weight)
    assert not list(tmp_path.iterdir())  # what was written is deleted


def test_a_folder_that_cannot_be_written(tmp_path):
    with Store(0.0, tmp_path / "absent") as store, pytest.raises(OutputError, match="cannot write encoded rows"):
        store.append([np.zeros(3)], np.zeros(3, dtype=int))


def test_weights_of_a_network():
    weights = Weights.of(Planted().start)
    assert len(weights.W) == 3 * 5 + 3 and len(weights.b) == 4
