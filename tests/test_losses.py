"""The loss against its definition, written out output by output; also one where a missed class costs three times."""

import itertools
import math

import numpy as np
import pytest

from bdnn import Budget, Problem
from bdnn.methods import METHODS
from bdnn.network.losses import Loss, step, weighted_terms

HEADS = [("threshold", 2), ("threshold", 4), ("argmax", 2), ("argmax", 3)]


def answers(loss):
    """All that the outputs of a head can say."""
    if loss.head == "argmax":
        return [tuple(c == winner for c in range(loss.n_classes)) for winner in range(loss.n_classes)]
    return list(itertools.product((False, True), repeat=loss.n_outputs))


@pytest.fixture(params=[1, 3])
def missed(request, monkeypatch):
    """What it costs that the output of a point's class says no; with 3, the loss is changed in its one place."""

    def of_answers(self):
        own = self.targets(np.arange(self.n_classes))
        no = np.where(own, 3, 0)
        return np.zeros_like(no) if self.head == "argmax" else np.where(own, 0, 1), no

    if request.param == 3:
        monkeypatch.setattr(Loss, "of_answers", of_answers)
    return request.param


def defined(loss, answer, label, missed=1):
    """The loss of an answer at a point of a label."""
    if loss.head == "argmax":
        return missed * (not answer[label])
    if loss.n_classes == 2:
        return missed * (not answer[0]) if label == 1 else int(answer[0])
    return sum(missed * (not fires) if label == c else int(fires) for c, fires in enumerate(answer))


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_points_cost_what_their_outputs_do(head, n_classes, missed):
    loss = Loss(head, n_classes)
    for answer, label in itertools.product(answers(loss), range(n_classes)):
        codes, given = np.array([label]), np.array([answer])
        expected = defined(loss, answer, label, missed)
        if head == "argmax":
            assert loss.of_winners(given.argmax(axis=1), codes).tolist() == [expected]
        else:
            assert loss.of_fired(given, codes).tolist() == [expected]
            assert loss.of_intervals(given, given, codes).tolist() == [expected]
        yes, no = loss.costs(np.eye(n_classes)[codes])
        assert np.where(given, yes, no).sum() == expected <= loss.largest
    assert loss.largest == max(defined(loss, a, c, missed) for a in answers(loss) for c in range(n_classes))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_intervals_cost_the_worst_of_what_they_hold(n_classes, missed):
    loss = Loss("threshold", n_classes)
    for answer, label in itertools.product(itertools.product((0, 1, 2), repeat=loss.n_outputs), range(n_classes)):
        state = np.array([answer])
        worst = max(
            defined(loss, some, label, missed)
            for some in answers(loss)
            if all(s == 1 or bool(s) == fires for s, fires in zip(answer, some, strict=True))
        )
        assert loss.of_intervals(state == 2, state >= 1, np.array([label])).tolist() == [worst]


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
@pytest.mark.parametrize("seed", range(5))
def test_what_follows_from_the_costs_of_all_answers(head, n_classes, seed, missed):
    loss, rng = Loss(head, n_classes), np.random.default_rng(seed)
    weight = rng.integers(0, 3, (12, n_classes)).astype(float)
    possible = answers(loss)
    cost = np.array(
        [[sum(w * defined(loss, a, c, missed) for c, w in enumerate(row)) for a in possible] for row in weight.tolist()]
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
            [min(sum(w * defined(loss, a, c, missed) for c, w in enumerate(row)) for a in possible) for row in weight]
        )
        told = np.array([sum(w * defined(loss, possible[k], c, missed) for c, w in enumerate(row)) for row in weight])
        assert (least + paid).tolist() == told.tolist()


@pytest.mark.parametrize(("head", "n_classes"), HEADS[:1] + HEADS[2:])
@pytest.mark.parametrize("radius", [0.0, 0.4])
def test_programs_search_and_audit_follow_the_one_definition(head, n_classes, radius, missed):
    rng = np.random.default_rng(n_classes)
    X, y = rng.integers(0, 4, (12, 2)) + rng.normal(0, 0.01, (12, 2)), rng.permutation(12) % n_classes
    problem = Problem(X=X, y=y, hidden_layer_sizes=(), head=head, robust_radius=radius)
    exact = METHODS["exact"](formulation="big_m", incumbents="none", solver="highs")(problem, Budget(seconds=60))
    assert exact.bound == exact.objective and not exact.audit.mismatch
    if not radius:
        own = METHODS["exact"](formulation="activation", incumbents="none")(problem, Budget(seconds=60))
        assert own.bound == own.objective == exact.objective
        counted = sum(
            (missed if head == "argmax" or code == 1 else 1) * (code != said)
            for code, said in zip(y.tolist(), exact.network.predict(X).tolist(), strict=True)
        )
        assert exact.objective == counted > 0
    found = METHODS["local_search"](polish="none")(problem, Budget(seconds=60, rounds=10, threads=1))
    assert found.bound <= exact.objective <= found.objective
    assert found.objective == exact.objective or radius


def test_sums_of_products_round_once():
    weight, losses = np.array([0.1, 0.2, 3.0]), np.array([3, 0, 2])
    assert math.fsum(weighted_terms(weight, losses)) == math.fsum([0.1, 0.1, 0.1, 3.0, 3.0])


@pytest.mark.parametrize(
    ("weight", "expected"),
    [([1.0, 1.0], 1.0), ([2.0, 6.0, 0.0], 2.0), ([0.75, 0.5], 0.25), ([0.1, 0.3], 0.0), ([0.1, 0.2], 0.1)],
)
def test_steps_divide_all_losses(weight, expected):
    assert step(np.array(weight)) == expected
