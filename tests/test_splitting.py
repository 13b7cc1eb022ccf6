"""Rows that are held out: stratified, as ever where all rows differ, and never equal to a row that is trained on."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from bdnn import BDNNClassifier, BDNNEnsembleClassifier
from bdnn.errors import InputError
from bdnn.estimators import classifier
from bdnn.estimators.held_out import held_out_rows
from bdnn.splitting import split


def rows_of(X, rows):
    return {row.tobytes() for row in np.ascontiguousarray(X[rows])}


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 7])
def test_different_rows_are_split_as_ever(fraction, seed):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(150, 3)), rng.choice(["a", "b", "c"], 150, p=[0.6, 0.3, 0.1])
    X[3, 1] = np.nan
    known = train_test_split(np.arange(150), test_size=fraction, random_state=seed, stratify=y)
    for version in (1, 2):
        for found, expected in zip(split(X, y, fraction, seed, version), known, strict=True):
            assert found.tolist() == sorted(expected.tolist())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equal_rows_are_on_one_side(dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, (300, 2)).astype(dtype)
    X[rng.random(300) < 0.1, 1] = np.nan
    y = rng.choice([3, 5, 8], 300, p=[0.5, 0.3, 0.2])
    different = []
    for seed in range(20):
        training, held_out = split(X, y, 0.25, seed)
        assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(300))
        assert not rows_of(X, training) & rows_of(X, held_out)
        assert set(y[training]) == {3, 5, 8}
        # no nearer than groups of equal rows allow
        largest = max(np.unique(X, axis=0, return_counts=True)[1])
        assert abs(len(held_out) - 75) <= largest / 2
        for label in (3, 5, 8):
            assert abs(np.sum(y[held_out] == label) - 0.25 * np.sum(y == label)) <= largest / 2
        assert split(X, y, 0.25, seed)[1].tolist() == held_out.tolist()
        different.append(held_out.tolist())
    assert len({tuple(rows) for rows in different}) == 20


def test_few_equal_rows_do_not_change_the_sizes():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), np.repeat([0, 1], 100)
    X[5] = X[4]
    X[120] = X[7]  # with the other label
    X[3, 0], X[4:6, 0] = -0.0, 0.0
    X[3, 1] = X[4, 1]
    training, held_out = split(X, y, 0.25, 3)
    assert len(held_out) == 50 and y[held_out].sum() == 25
    for same in ({3, 4, 5}, {7, 120}):
        assert same <= set(training.tolist()) or same <= set(held_out.tolist())


def test_every_class_stays_among_the_training_rows():
    X = np.array([[0.0]] * 10 + [[1.0]] * 4 + [[2.0]] * 4 + [[3.0]])
    y = np.array([0] * 10 + [1] * 9)
    for seed in range(10):
        training, held_out = split(X, y, 0.3, seed)
        assert set(y[training]) == {0, 1} and len(held_out)
        assert 0.0 not in X[held_out]  # all that is known of the first class


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[1.0]] * 8, [0, 1] * 4, "all rows have the same inputs"),
        ([[0.0]] * 4 + [[1.0]] * 4, [0] * 4 + [1] * 4, "only 2 different inputs"),
        ([[float(i)] for i in range(8)], [0] * 7 + [1], r"1 of 2 classes has only one row \(1\)"),
        ([[float(i)] for i in range(400)], [*range(200), *range(200)], "cannot both hold all 200 classes"),
    ],
)
def test_what_cannot_be_split(X, y, message):
    with pytest.raises(InputError, match=message) as caught:
        split(np.array(X), np.array(y), 0.25, 0)
    assert len(str(caught.value)) < 250


def leaking():
    """Twelve different rows, each ten times, with random labels."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(12, 2)), np.array([0, 1] * 6)
    order = rng.permutation(120)
    return np.repeat(X, 10, axis=0)[order], np.repeat(y, 10)[order]


@pytest.mark.parametrize("ensemble", [False, True])
def test_validation_rows_differ_from_training_rows(ensemble, monkeypatch):
    parts = []

    def seen(inputs, labels, settings, seed):
        training, held_out = held_out_rows(inputs, labels, settings, seed)
        parts.append((inputs[training], inputs[held_out]))
        return training, held_out

    monkeypatch.setattr(classifier, "held_out_rows", seen)
    X, y = leaking()
    clf = BDNNClassifier((), method="exact", incumbents="none", validation_fraction=0.25, random_state=0)
    if ensemble:
        clf = BDNNEnsembleClassifier(clf, "one_vs_rest", n_estimators=2, max_features=1, random_state=0)
    clf.fit(X, y)
    assert len(parts) == (4 if ensemble else 1)
    for training, held_out in parts:
        assert len(held_out) in (20, 30, 40)
        assert not rows_of(training, slice(None)) & rows_of(held_out, slice(None))
