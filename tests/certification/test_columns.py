"""Certification on columns: levels and numbers behind thresholds, against enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from bdnn import BDNNClassifier, Budget, Network, certify
from bdnn.certification.columns import certify_columns
from bdnn.encoding.codes import ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.network.grid import InputGrid

THREE = ColumnCode("three", "categorical", "b", ("a", "b", "c"), missing_bit=True)
TWO = ColumnCode("two", "categorical", "x", ("x", "y"))
RARE = ColumnCode("rare", "categorical", "p", ("p", "q"), ("r", "s"))
BOOL = ColumnCode("bool", "boolean", 1.0)
DAY = ColumnCode("day", "date", "2001-02-03", parts=("year", "month", "day", "weekday"))
AGE = ColumnCode("age", "numeric", 40.0, thresholds=(30.0, 39.5, 50.0), missing_bit=True)
DOSE = ColumnCode("dose", "numeric", 1.0, thresholds=(-1.0, 0.25))
SIZE = ColumnCode("size", "numeric", 2.0)
MASS = ColumnCode("mass", "numeric", 2.0, missing_bit=True)

COLUMNS = {
    "three": RawColumn("three", "categorical", np.array([0, 1, 2, -1, 3, 0]), ("a", "b", "c", "unseen")),
    "two": RawColumn("two", "categorical", np.array([0, 1, -1, 1, 0, 2]), ("x", "y", "unseen")),
    "rare": RawColumn("rare", "categorical", np.array([0, 1, 2, 3, 0, 1]), ("p", "q", "r", "s")),
    "bool": RawColumn("bool", "boolean", np.array([0, 1, 1, 0, np.nan, 1])),
    "day": RawColumn("day", "date", np.array(["2020-01-02"] * 5 + ["NaT"], "datetime64[us]")),
    "age": RawColumn("age", "numeric", np.array([39.5, 29.0, 55.0, np.nan, 41.0, 30.0])),
    "dose": RawColumn("dose", "numeric", np.array([0.0, -1.0, 0.25, 0.3, -2.0, 0.1])),
    "size": RawColumn("size", "numeric", np.array([1.0, 2.0, 3.5, 0.0, -1.0, 2.0])),
    "mass": RawColumn("mass", "numeric", np.array([2.0, np.nan, 1.0, 2.0, 0.5, -1.0])),
}


def table_of(codes):
    return RawTable(tuple(COLUMNS[code.name] for code in codes))


def network_of(encoder, table, hidden, seed, kind="real", classes=2):
    """A network at random whose neurons fire on about half of the rows."""
    rng = np.random.default_rng(seed)
    widths = [encoder.n_inputs, *hidden, 1 if classes == 2 else classes]
    grid = None
    if kind == "grid":
        grid = InputGrid(np.zeros(encoder.n_inputs), np.full(encoder.n_inputs, 0.5), 4)
    signal = encoder.transform(table) if grid is None else grid.quantise(encoder.transform(table))
    layers = []
    for below, above in itertools.pairwise(widths):
        W = rng.integers(-3, 4, (above, below))
        if kind == "real":
            W = np.round(rng.normal(size=W.shape), 2)
        middle = -np.median(signal @ W.T, axis=0) + rng.normal(size=above) / 2
        layers.append((W, np.round(middle, 2) if kind == "real" else np.floor(middle).astype(np.int64)))
        signal = (signal @ W.T + layers[-1][1] >= 0) * 1.0
    head = "threshold" if classes == 2 else "argmax"
    return Network(tuple(layers), head, [f"class {c}" for c in range(classes)], grid, encoder.input_names)


def changed_rows(encoder, table, i, most):
    """Inputs of a row with every choice of at most some levels changed; the unchanged one first."""
    x = encoder.transform(table.take(np.array([i])))[0]
    options = []
    for code, column, place in zip(encoder.columns, table.columns, encoder.input_slices(), strict=True):
        own = slice(place.start, place.start + code.n_values)
        states = [x[own]]
        if code.kind in ("categorical", "boolean") and not column.missing[i]:
            states += [s for s in code.states() if not np.array_equal(s, x[own])]
        options.append((own, states))
    for picks in itertools.product(*(range(len(states)) for _, states in options)):
        if sum(pick > 0 for pick in picks) <= most:
            z = x.copy()
            for (own, states), pick in zip(options, picks, strict=True):
                z[own] = states[pick]
            yield z, sum(pick > 0 for pick in picks)


HIDDEN = [(), (3,), (3, 2)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["real", "integer", "grid"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_levels_alone_against_enumeration(hidden, kind, classes):
    encoder = Encoder((THREE, TWO, RARE, BOOL))
    table = table_of(encoder.columns)
    verdicts = set()
    for seed in range(3):
        network = network_of(encoder, table, hidden, seed, kind, classes)
        plain = network.predict_index(encoder.transform(table))
        for most in range(4):
            found = certify_columns(network, encoder, table, radius=0.0, level_changes=most)
            for i in range(len(table)):
                rows = [z for z, _ in changed_rows(encoder, table, i, most)]
                robust = bool(np.all(network.predict_index(np.array(rows)) == plain[i]))
                assert (found.robust[i], found.undecided[i]) == (robust, False)
                verdicts.add(robust)
                if not robust:
                    assert network.predict_index(found.attack[i : i + 1])[0] != plain[i]
                    assert found.changed[i] <= most and found.distance[i] == 0.0
                    assert any(np.array_equal(found.attack[i], z) for z in rows)
                    again = encoder.transform(found.columns.take(np.array([i])))[0]
                    np.testing.assert_array_equal(again, found.attack[i])
    assert verdicts == {True, False}


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
@pytest.mark.parametrize("kind", ["real", "grid"])
@pytest.mark.parametrize("hidden", HIDDEN[:2], ids=str)
def test_levels_beside_numbers_against_enumeration(hidden, kind, norm):
    encoder = Encoder((SIZE, TWO, MASS, RARE))
    table = table_of(encoder.columns)
    scale, at = np.array([1.0, 9.0, 0.5, 9.0]), encoder.column_of_input
    outcomes, doubts = set(), 0
    for seed in range(3 if kind == "real" else 1):
        network = network_of(encoder, table, hidden, seed, kind)
        plain = network.predict_index(encoder.transform(table))
        for radius, most in ((0.1, 1), (0.1, 0), (None, 1)):
            found = certify_columns(network, encoder, table, radius=radius, norm=norm, scale=scale, level_changes=most)
            for i in range(len(table)):
                still = ~encoder.numeric_inputs()
                still |= (encoder.names.index("mass") == at) & table.columns[2].missing[i]
                rows = np.array([z for z, _ in changed_rows(encoder, table, i, most)])
                flips = network.predict_index(rows) != plain[i]
                each = certify(network, rows, radius=radius, norm=norm, scale=scale[at], frozen=still)
                if radius is None:
                    least = 0.0 if flips.any() else each.radius.min()
                    assert found.radius[i] == pytest.approx(least, rel=1e-6)
                    far = 0.0 if flips.any() else each.distance.min()
                    assert found.distance[i] == pytest.approx(far, rel=1e-6)
                else:
                    assert found.robust[i] == (not flips.any() and each.robust.all())
                    outcomes.add(bool(found.robust[i]))
                # nothing is lost in between
                assert not found.undecided[i] or each.undecided.any()
                doubts += found.undecided[i]
    assert outcomes == {True, False} and doubts <= 1


def patterns(code, value, scale, gap):
    """Bits of a number behind thresholds, with how far it must go for each, and whether that is reached."""
    t = [Fraction(c) for c in code.thresholds]
    ends = [None, *t, None]
    v = Fraction(value)
    for k, (low, high) in enumerate(itertools.pairwise(ends)):
        bits = [1.0] * k + [0.0] * (len(t) - k)
        inside = (low is None or v >= low) and (high is None or v < high)
        far = Fraction(0) if inside else (low - v if low is not None and v < low else v - high)
        if not gap or inside:
            yield bits, far / Fraction(scale), inside or v < (low if low is not None else v)


def nearest(network, encoder, table, i, most, norm, scale):
    """The exact distance of the nearest change, by enumeration (norm 2: squared), and whether it is reached."""
    plain = network.predict_index(encoder.transform(table.take(np.array([i]))))[0]
    best = (None, True)
    for x, _ in changed_rows(encoder, table, i, most):
        ways = []
        for j, (code, place) in enumerate(zip(encoder.columns, encoder.input_slices(), strict=True)):
            if code.thresholds:
                gap = bool(table.columns[j].missing[i])
                value = code.fill if gap else table.columns[j].values[i]
                own = slice(place.start, place.start + code.n_values)
                ways.append([(own, *way) for way in patterns(code, value, scale[j], gap)])
        for picks in itertools.product(*ways):
            z = x.copy()
            for own, bits, _, _ in picks:
                z[own] = bits
            if network.predict_index(z[None, :])[0] == plain:
                continue
            far = [d for _, _, d, _ in picks]
            total = max(far) if norm == "inf" else sum(far) if norm == "1" else sum(d * d for d in far)
            reached = all(r for _, _, d, r in picks if norm != "inf" or d == total)
            if best[0] is None or (total, not reached) < (best[0], not best[1]):
                best = (total, reached)
    return best


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
@pytest.mark.parametrize("kind", ["real", "integer", "grid"])
@pytest.mark.parametrize("hidden", HIDDEN[:2], ids=str)
def test_numbers_behind_thresholds_against_enumeration(hidden, kind, norm):
    encoder = Encoder((AGE, TWO, DOSE, DAY))
    table = table_of(encoder.columns)
    scale = np.array([10.0, 1.0, 0.5, 1.0])
    outcomes = set()
    for seed in range(2):
        network = network_of(encoder, table, hidden, seed, kind)
        for most in (0, 1):
            found = certify_columns(network, encoder, table, norm=norm, scale=scale, level_changes=most)
            asked = certify_columns(network, encoder, table, radius=1.0, norm=norm, scale=scale, level_changes=most)
            for i in range(len(table)):
                exact, reached = nearest(network, encoder, table, i, most, norm, scale)
                assert not found.undecided[i] and not asked.undecided[i]
                if exact is None:
                    assert found.radius[i] == math.inf and asked.robust[i]
                    continue
                far = math.sqrt(exact) if norm == "2" else float(exact)
                assert found.radius[i] <= far * (1 + 1e-12) and found.radius[i] == pytest.approx(
                    far, rel=1e-6, abs=1e-12
                )
                assert found.distance[i] == pytest.approx(far, rel=1e-6, abs=1e-9)
                assert asked.robust[i] == (exact > 1 or (exact == 1 and not reached))
                outcomes.add(bool(asked.robust[i]))
                changed = encoder.transform(found.columns.take(np.array([i])))[0]
                np.testing.assert_array_equal(changed, found.attack[i])
                assert network.predict(changed[None, :])[0] != network.predict(encoder.transform(table))[i]
    assert outcomes == {True, False}


def test_many_columns_are_decided_without_enumeration():
    rng = np.random.default_rng(0)
    codes = tuple(ColumnCode(f"c{j}", "categorical", "0", tuple(map(str, range(8)))) for j in range(30))
    encoder = Encoder(codes)
    table = RawTable(
        tuple(RawColumn(c.name, "categorical", rng.integers(0, 8, 20).astype(np.int32), c.levels) for c in codes)
    )
    network = network_of(encoder, table, (), 0)
    found = certify_columns(network, encoder, table, radius=0.0, level_changes=2)
    X = encoder.transform(table)
    (W, b), plain = network.layers[0], network.predict_index(X)
    sign = np.where(plain == 1, 1.0, -1.0)
    for i in range(20):  # without a hidden layer the worst changes are known
        gains = []
        for place in encoder.input_slices():
            w = sign[i] * W[0, place]
            gains.append(min(0.0, float((w - w @ X[i, place]).min())))
        worst = sign[i] * float(X[i] @ W[0] + b[0]) + sum(sorted(gains)[:2])
        assert found.robust[i] == (worst > 0)
    assert not found.undecided.any() and 0 < found.robust.sum() < 20
    assert found.nodes.max() < 8 * 30  # of 7**2 * 435 rows


def test_limits_leave_rows_undecided():
    encoder = Encoder((THREE, TWO, RARE, BOOL))
    table, network = table_of(encoder.columns), network_of(encoder, table_of(encoder.columns), (3, 2), 1)
    free = certify_columns(network, encoder, table, radius=0.0, level_changes=4)
    found = certify_columns(network, encoder, table, radius=0.0, level_changes=4, budget=Budget(nodes=1))
    assert found.undecided.any() and not found.robust[found.undecided].any()
    assert not (found.robust & ~free.robust).any()
    smallest = certify_columns(network, encoder, table, level_changes=4, budget=Budget(nodes=1))
    assert np.all(smallest.radius[smallest.undecided] == 0.0)


def test_limits_keep_what_is_proven_of_numbers_behind_thresholds():
    cuts = tuple(np.arange(1.0, 33.0))
    encoder = Encoder(tuple(ColumnCode(name, "numeric", 0.0, thresholds=cuts) for name in "abc"))
    table = RawTable(tuple(RawColumn(name, "numeric", np.zeros(1)) for name in "abc"))
    rng = np.random.default_rng(0)
    network = Network([(np.round(rng.normal(size=(8, 96)), 2), np.full(8, -9.0)), (np.ones((1, 8)), [-5.0])],
                      "threshold", ["no", "yes"], None, encoder.input_names)  # fmt: skip
    found = [certify_columns(network, encoder, table, budget=Budget(nodes=nodes)) for nodes in (1, 300, 10**7)]
    radii = [one.radius[0] for one in found]
    assert found[0].undecided[0] and not found[2].undecided[0]
    assert radii == sorted(radii) and radii[0] == 0.0


def test_frozen_columns_keep_their_level():
    encoder = Encoder((TWO, BOOL))
    network = Network([([[1.0, 1.0]], [-0.5])], "threshold", ["no", "yes"], None, encoder.input_names)
    row = RawTable((RawColumn("two", "categorical", np.array([0]), ("x",)), RawColumn("bool", "boolean", np.zeros(1))))
    assert not certify_columns(network, encoder, row, radius=1.0, level_changes=1).robust[0]
    assert certify_columns(network, encoder, row, radius=1.0).robust[0]
    assert not certify_columns(network, encoder, row, radius=1.0, level_changes=1, frozen=["two"]).robust[0]
    assert certify_columns(network, encoder, row, radius=1.0, level_changes=2, frozen=["two", "bool"]).robust[0]
    found = certify_columns(network, encoder, row, radius=1.0, level_changes=1, frozen=["bool"])
    assert found.columns.columns[0].levels[found.columns.columns[0].values[0]] == "y"
    report = found.to_dict()
    assert report["level_changes"] == 1 and report["changed_levels"] == [1]
    assert "at most 1 change of level" in found.summary()


def test_settings_are_about_columns():
    encoder = Encoder((SIZE, TWO, MASS))
    network = Network([([[1.0, 0.0, 1.0, 0.0]], [-4.0])], "threshold", ["no", "yes"], None, encoder.input_names)
    table = RawTable((RawColumn("mass", "numeric", np.array([1.0])), COLUMNS["two"].take(np.array([0])),
                      RawColumn("size", "numeric", np.array([1.0]))))  # fmt: skip

    def radius(**settings):
        return certify_columns(network, encoder, table, **settings).radius[0]

    assert radius() == pytest.approx(1.0)
    assert radius(scale=[2.0, 1.0, 1.0]) == pytest.approx(2 / 3)
    assert radius(scale=pd.Series({"mass": 1.0, "two": 1.0, "size": 2.0})) == pytest.approx(2 / 3)
    assert radius(frozen=["mass"]) == pytest.approx(2.0) and radius(upper=[2.0, -9.0, 9.0]) == pytest.approx(1.0)
    assert radius(upper=[1.5, 0.0, 9.0]) == pytest.approx(1.5)
    assert radius(integer=["size"], frozen=["mass"]) == 2.0
    for settings in (
        {"scale": [1.0]},
        {"frozen": ["SIZE"]},
        {"level_changes": -1},
        {"level_changes": 1.5},
        {"integer": 9},
    ):
        with pytest.raises(InputError):
            radius(**settings)
    with pytest.raises(InputError, match="beside numbers behind thresholds"):
        both = Encoder((SIZE, DOSE))
        certify_columns(network_of(both, table_of(both.columns), (), 0), both, table_of(both.columns))


def test_the_estimator_certifies_tables():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.choice(["x", "y", "z"], 40), "c": rng.random(40) < 0.5})
    y = (frame["a"] + 2 * (frame["b"] == "x") > 0.5).to_numpy()
    clf = BDNNClassifier((), random_state=0, time_limit=5).fit(frame, y)
    still = clf.certify(frame, y, radius=0.05)
    either = clf.certify(frame, y, radius=0.05, level_changes=1)
    assert still.robust.sum() > either.robust.sum() > 0 and not (either.robust & ~still.robust).any()
    nearest = clf.certify(frame, y, level_changes=1)
    alone = clf.certify(frame, y, radius=0.0, level_changes=1)
    np.testing.assert_array_equal(nearest.robust, alone.robust)
    assert still.changed is None and either.columns.names == ("a", "b", "c")
    smallest = clf.certify(frame, y)
    np.testing.assert_array_equal(still.robust, smallest.clean & (smallest.radius > 0.05))
    numbers = BDNNClassifier((), random_state=0).fit(frame[["a"]], y)
    assert numbers.certify(frame[["a"]]).columns is None  # as ever
