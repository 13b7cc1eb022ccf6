"""The loss against its definition, written out output by output."""

import itertools
import math

import numpy as np
import pytest

from bdnn.network.losses import Loss, step, weighted_terms

HEADS = [("threshold", 2), ("threshold", 4), ("argmax", 2), ("argmax", 3)]


def answers(loss):
    """All that the outputs of a head can say."""
    if loss.head == "argmax":
        return [tuple(c == winner for c in range(loss.n_classes)) for winner in range(loss.n_classes)]
    return list(itertools.product((False, True), repeat=loss.n_outputs))


def defined(loss, answer, label):
    """The loss of an answer at a point of a label."""
    if loss.head == "argmax":
        return int(not answer[label])
    if loss.n_classes == 2:
        return int(answer[0] != (label == 1))
    return sum(fires != (label == c) for c, fires in enumerate(answer))


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_points_cost_what_their_outputs_do(head, n_classes):
    loss = Loss(head, n_classes)
    for answer, label in itertools.product(answers(loss), range(n_classes)):
        codes, given = np.array([label]), np.array([answer])
        expected = defined(loss, answer, label)
        if head == "argmax":
            assert loss.of_winners(given.argmax(axis=1), codes).tolist() == [expected]
        else:
            assert loss.of_fired(given, codes).tolist() == [expected]
            assert loss.of_intervals(given, given, codes).tolist() == [expected]
        yes, no = loss.costs(np.eye(n_classes)[codes])
        assert np.where(given, yes, no).sum() == expected <= loss.largest
    assert loss.largest == max(defined(loss, a, c) for a in answers(loss) for c in range(n_classes))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_intervals_cost_the_worst_of_what_they_hold(n_classes):
    loss = Loss("threshold", n_classes)
    for answer, label in itertools.product(itertools.product((0, 1, 2), repeat=loss.n_outputs), range(n_classes)):
        state = np.array([answer])
        worst = max(
            defined(loss, some, label)
            for some in answers(loss)
            if all(s == 1 or bool(s) == fires for s, fires in zip(answer, some, strict=True))
        )
        assert loss.of_intervals(state == 2, state >= 1, np.array([label])).tolist() == [worst]


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
@pytest.mark.parametrize("seed", range(5))
def test_what_follows_from_the_costs_of_all_answers(head, n_classes, seed):
    loss, rng = Loss(head, n_classes), np.random.default_rng(seed)
    weight = rng.integers(0, 3, (12, n_classes)).astype(float)
    possible = answers(loss)
    cost = np.array(
        [[sum(w * defined(loss, a, c) for c, w in enumerate(row)) for a in possible] for row in weight.tolist()]
    )
    assert loss.irreducible(weight) == cost.min(axis=1).sum()
    expected = cost.max(axis=1) == cost.min(axis=1) if loss.one_per_point else np.zeros(12, dtype=bool)
    assert loss.indifferent(weight).tolist() == expected.tolist()
    total = cost.sum(axis=0)
    assert total[possible.index(tuple(loss.constant_answer(weight.sum(axis=0)).tolist()))] == total.min()
    for k, answer in enumerate(possible):
        if head == "argmax":
            excess = loss.excess_of_winners(np.full(12, answer.index(True)), weight)
        else:
            excess = loss.excess_of_fired(np.array([answer] * 12), weight)
        assert excess.tolist() == (cost[:, k] - cost.min(axis=1)).tolist()
    if loss.one_per_point and n_classes > 2:  # what the program of preferences covers
        weight[:, 2:] = 0.0
        weight = np.array([rng.permutation(row) for row in weight])
    point, wanted, price = loss.preferences(weight)
    for k, answer in enumerate(possible):
        if loss.one_per_point and n_classes > 2 and not np.all(weight[:, answer.index(True)]):
            continue  # any of several other classes costs the same or more
        said = [answer.index(True) if head == "argmax" else int(answer[0])] * len(point)
        if not loss.one_per_point:
            said = (2 * (wanted // 2) + np.array(answer)[wanted // 2]).tolist()
        paid = np.bincount(point, weights=price * (wanted != said), minlength=12)
        least = np.array(
            [min(sum(w * defined(loss, a, c) for c, w in enumerate(row)) for a in possible) for row in weight]
        )
        told = np.array([sum(w * defined(loss, possible[k], c) for c, w in enumerate(row)) for row in weight])
        assert (least + paid).tolist() == told.tolist()


def test_sums_of_products_round_once():
    weight, losses = np.array([0.1, 0.2, 3.0]), np.array([3, 0, 2])
    assert math.fsum(weighted_terms(weight, losses)) == math.fsum([0.1, 0.1, 0.1, 3.0, 3.0])


@pytest.mark.parametrize(
    ("weight", "expected"),
    [([1.0, 1.0], 1.0), ([2.0, 6.0, 0.0], 2.0), ([0.75, 0.5], 0.25), ([0.1, 0.3], 0.0), ([0.1, 0.2], 0.1)],
)
def test_steps_divide_all_losses(weight, expected):
    assert step(np.array(weight)) == expected
