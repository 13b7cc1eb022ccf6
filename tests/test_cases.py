"""The oracle is right about facts that are known from elsewhere."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from cases import Case, all_labels, labelings, neuron_patterns


def cube(dimension: int) -> tuple[tuple[float, ...], ...]:
    return tuple(itertools.product([0.0, 1.0], repeat=dimension))


@pytest.mark.parametrize(("dimension", "count"), [(1, 4), (2, 14), (3, 104)])
def test_threshold_functions_of_few_bits_are_as_many_as_known(dimension, count):
    assert len(neuron_patterns(cube(dimension))) == count


@pytest.mark.parametrize(("points", "dimension"), [(5, 1), (6, 2), (7, 2), (6, 3)])
def test_dichotomies_in_general_position_are_as_many_as_cover_counted(points, dimension):
    # T. M. Cover, doi:10.1109/PGEC.1965.264137
    rows = np.random.default_rng(points).normal(size=(points, dimension))
    expected = 2 * sum(math.comb(points - 1, k) for k in range(dimension + 1))
    assert len(neuron_patterns(tuple(map(tuple, rows.tolist())))) == expected


def test_wide_integer_neurons_have_the_patterns_of_continuous_ones():
    points = ((0.0, 0.0), (3.0, 1.0), (1.0, 4.0), (5.0, 5.0), (2.0, 2.0))
    wide, continuous = (set(map(tuple, neuron_patterns(points, *kind))) for kind in (("integer", 9), ("continuous",)))
    assert wide == continuous


def test_two_labels_by_the_larger_score_are_the_patterns_of_a_neuron():
    for weights in ("continuous", "integer"):
        by_score = set(map(tuple, labelings(cube(2), 2, weights, 1, True)))
        # the difference of two ternary neurons has weights up to 2
        by_sign = set(map(tuple, neuron_patterns(cube(2), weights, 2).astype(int)))
        assert by_score == by_sign


def test_without_biases_the_origin_fires():
    assert set(map(tuple, neuron_patterns(((0.0,), (1.0,), (2.0,)), "continuous", 1, False))) == {
        (True, True, True),
        (True, False, False),
    }


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_parity_needs_a_hidden_layer_of_two(weights):
    losses = [Case(X=cube(2), y=[0, 1, 1, 0], hidden=hidden, weights=weights).optimum() for hidden in [(), (1,), (2,)]]
    assert losses == [1, 1, 0]


def test_the_one_hot_loss_counts_outputs_and_the_argmax_loss_points():
    y = [0, 1, 2]
    assert Case(X=[[0], [1], [2]], y=y).optimum() == 1
    assert Case(X=[[0], [1], [2]], y=y, head="argmax").optimum() == 0
    assert Case(X=[[1], [1], [1]], y=y).optimum() == 3
    assert Case(X=[[1], [1], [1]], y=y, head="argmax").optimum() == 2
    assert Case(X=[[1], [1], [1]], y=y, head="argmax", sample_weight=[1, 5, 0.5]).optimum() == 1.5


def test_labelings_are_listed_once_and_use_every_class():
    listed = [tuple(y) for y in all_labels(4, 3)]
    assert len(listed) == len(set(listed)) == 3**4 - 3 * 2**4 + 3
