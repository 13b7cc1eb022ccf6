"""The line search over parts of the rows is that of the search in memory."""

import numpy as np
import pytest

from bdnn.partitions.line_search import Lines, exact_intervals, middle_of, place_of, whole_axis
from bdnn.partitions.rows import StoredRows
from bdnn.partitions.tasks import Buckets, places_of
from bdnn.search import kernels
from partitions.parts import Case

CASES = range(12)


def points_of(case, neuron):
    """Pre-activations less the scores to beat, signals and gains where a neuron matters, all rows in one state."""
    state = case.setting.state(next(iter(case.rows(1)._store)), case.weights)
    kernels.improve_neuron(state, -1, 0, 0.0, 1)
    active, gain, offset = np.zeros(case.m, dtype=np.int32), np.zeros(case.m), np.zeros(case.m)
    q = kernels.gains(state, neuron, 0, 1, active, gain, offset)
    layer = int(np.searchsorted(state.b_from, neuron, side="right")) - 1
    signal = state.X if layer == 0 else state.U[state.b_from[layer - 1] : state.b_from[layer]]
    return state, signal[:, active[:q]].astype(float), gain[:q].copy(), offset[:q]


def on_line(case, neuron, direction):
    """What the search in memory is given for a line: sums in the order of the kernels."""
    state, signal, gain, offset = points_of(case, neuron)
    at, n = places_of(case.setting)[neuron]
    a, s = state.b[neuron] - offset, np.full(len(gain), direction[-1])
    for j in range(n):
        a = a + state.W[at + j] * signal[j] if state.W[at + j] else a
        s = s + direction[j] * signal[j] if direction[j] else s
    return a, s, gain


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("seed", CASES)
def test_the_best_interval_is_that_of_all_rows_together(seed, parts, tmp_path):
    case = Case(seed)
    with case.stored(parts, memory=0 if seed % 3 else 1e9, folder=tmp_path) as store:
        check_intervals(case, seed, StoredRows(store, threads=1 + seed % 2))


def check_intervals(case, seed, rows):
    """Compare the best intervals of random lines with those of the search in memory."""
    rng = case.rng
    for neuron, (_, n) in enumerate(places_of(case.setting)):
        direction = np.rint(rng.normal(size=n + 1)) if seed % 2 else rng.normal(size=n + 1)
        count, scale = int(rng.choice([2, 5, 64])), float(rng.choice([0.01, 1.0, 100.0]))
        line = Lines(neuron, direction[None], np.array([whole_axis(scale, count)]), count)
        limits = {"most": int(rng.choice([1, 10, 10**6])), "finer_count": int(rng.choice([50, 2**12]))}
        (found,) = exact_intervals(rows, case.setting, case.weights, [line], **limits)
        a, s, gain = on_line(case, neuron, direction)
        change, _, _ = kernels.line_search(a, s, gain, False, np.array([7], dtype=np.uint64))
        assert found.change == pytest.approx(change, abs=1e-12)
        t = middle_of(found, scale)
        assert found.left < t < found.right or found.left == -np.inf or found.right == np.inf
        objective = (gain * (a + t * s >= 0)).sum() - (gain * (a >= 0)).sum()
        assert objective == pytest.approx(found.change, abs=1e-9)


def test_with_integer_weights_of_rows_the_change_is_exact():
    case = Case(3)
    case.weight = None
    (found,) = exact_intervals(
        case.rows(3), case.setting, case.weights,
        [Lines(0, np.eye(1, len(case.X) + 1), np.array([whole_axis(1.0, 8)]), 8)],
    )  # fmt: skip
    assert found.change == round(found.change) <= 0


@pytest.mark.parametrize("seed", CASES)
def test_sums_of_buckets_do_not_depend_on_how_rows_are_cut(seed):
    case = Case(seed)
    n = len(case.X)
    directions = case.rng.normal(size=(3, n + 1))
    lines = (Lines(0, directions, np.array([whole_axis(1.0, 16)] * 3), 16),)
    whole, cut = (case.rows(parts).total(Buckets(case.setting, case.weights, lines)) for parts in (1, 7))
    assert whole.loss == cut.loss
    assert np.array_equal(whole.jumps[0], cut.jumps[0])
    assert np.array_equal(whole.before[0], cut.before[0])
    # every row at which the neuron matters makes its jump
    gain = points_of(case, 0)[2]
    assert np.abs(whole.jumps[0]).sum(axis=1) == pytest.approx(np.full(3, np.abs(gain).sum()))


def test_places_on_the_axis():
    axis = whole_axis(3.0, 100)
    assert place_of(0.5, axis) == 3.0 and place_of(-0.5, axis) == -3.0 and place_of(0.0, axis) == 0.0
