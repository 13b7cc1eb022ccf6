"""Radii of integers are distances that integers have: the least change itself, or the last one that is proven."""

import csv
import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest

from bdnn import Budget, Network, certify, cli, tables
from bdnn.certification.attacker import perturbations
from bdnn.certification.mixed_integer_point import point_at
from bdnn.model_file import Model, save_model
from bdnn.network.grid import InputGrid
from plain import random_network

NORMS = ("inf", "1", "2")


def point(norm, scale, *, integer=True, grid=None, x=None, hidden=(3,), **bounds):
    n = len(scale)
    network = random_network(np.random.default_rng(0), n, hidden, ("a", "b"), grid=grid)
    x = np.zeros(n) if x is None else np.asarray(x, dtype=float)
    allowed = perturbations(network, norm, scale, **bounds)
    mask = np.broadcast_to(integer, n)
    return point_at(network, allowed, mask, x, int(network.predict_index(x[None, :])[0]), math.inf, lambda _: None)


def on_lattice(one, proven, attack):
    """The radius that a proof amounts to, and whether it is exact, where an attack is known or none."""
    one.evidence.attack = attack
    return one.lattice_radius(proven)


@pytest.mark.parametrize(
    ("norm", "scale", "proven", "radius"),
    [
        ("inf", [1, 1, 1], 3.7, 3.0),
        ("inf", [1, 1, 1], 3.0, 3.0),
        ("inf", [1, 1, 1], 0.99999995, 0.0),
        ("inf", [0.5, 0.5, 0.5], 3.7, 2.0),
        ("inf", [0.5, 4.0, 1.0], 3.7, 3.5),
        ("1", [1, 1, 1], 6.99, 6.0),
        ("1", [0.5, 1, 0.25], 6.99, 6.0),  # 2 a + b + 4 c
        ("1", [0.5, 0.5, 0.25], 7.99, 6.0),
        ("2", [1, 1, 1], 2.99, math.sqrt(8.0)),
        ("2", [2, 2, 2], 1.2, math.sqrt(5.0) / 2),
        ("2", [1, 1, 1], 3.0, 3.0),
    ],
)
def test_the_last_distance_that_is_proven(norm, scale, proven, radius):
    found, exact = on_lattice(point(norm, scale), proven, None)
    assert not exact and found <= proven
    assert found == pytest.approx(radius, rel=1e-15)
    # with the bounds of the inputs: the first feature has room for three steps, the others for none
    bounded, _ = on_lattice(point("inf", scale, lower=0.0, upper=[3.0, 0.5, 0.5]), 100.0, None)
    assert bounded == 3.0 / scale[0]


def test_an_undecided_point_keeps_what_is_proven_of_real_inputs():
    # behind a grid, or beside real features, other inputs lie between
    grid = InputGrid(np.zeros(3), np.full(3, 0.7), 3)
    behind, beside = (
        point("1", [1, 1, 1], grid=grid, integer=False),
        point("inf", [1, 1, 1], integer=[True, False, True]),
    )
    for other in (behind, beside):
        assert on_lattice(other, 0.123, None) == (0.123, False)
    assert on_lattice(point("inf", [1, 1, 1]), math.inf, None) == (math.inf, False)


@pytest.mark.parametrize("norm", NORMS)
def test_a_distance_between_leaves_the_question_open(norm):
    one, z = point(norm, [1, 1, 1]), np.array([3.0, 0.0, 0.0])
    assert on_lattice(one, 2.999, z) == (3.0, True)
    assert on_lattice(one, 1.5, z)[1] is False  # 2 lies between
    # steps of 1 and of 1 / 3: between 2 and 7 / 3 there is nothing
    mixed = point(norm, [1.0, 3.0, 3.0], lower=0.0, upper=[9.0, 9.0, 0.5])
    z = np.array([2.0, 1.0, 0.0] if norm == "1" else [0.0, 7.0, 0.0])
    radius, exact = on_lattice(mixed, 2.2 if norm != "2" else 2.31, z)
    assert exact and 0 <= 7 / 3 - radius <= 2 * math.ulp(7 / 3)
    assert not on_lattice(mixed, 1.9, z)[1]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("hidden", [(), (6,), (8, 5)])
def test_points_that_are_stopped_have_radii_of_the_lattice(norm, hidden):
    rng = np.random.default_rng(1)
    n = 40
    network = random_network(rng, n, hidden, ("a", "b", "c"), "argmax")
    X = rng.integers(0, 50, (4, n)).astype(float)
    found = certify(network, X, norm=norm, integer=True, lower=0, upper=49, budget=Budget(nodes=200))
    known = np.isfinite(found.radius)
    assert known.any()
    radius = found.radius[known]
    if norm == "2":
        assert np.all(np.abs(np.sqrt(np.rint(radius**2)) - radius) <= np.spacing(radius))
    else:
        assert np.array_equal(radius, np.rint(radius))
    assert np.all(radius <= found.distance[known])
    assert np.array_equal(found.attained[known], radius == found.distance[known])


@pytest.mark.parametrize("gap", [2, 30_000_001, 246_913_577, 2_000_000_000_001])
def test_large_integers_are_exact(gap):
    network = Network([([[1.0, -1.0, 0.0]], [-float(gap)])], head="threshold", classes=["no", "yes"])
    found = certify(network, [[5.0, 5.0, 7.0]], integer=True)
    assert found.radius[0] == found.distance[0] == -(-gap // 2) and found.attained[0] and not found.undecided[0]


@pytest.mark.parametrize("norm", ["1", "2"])
@pytest.mark.parametrize("need", [3, 4, 11, 12])
def test_many_equal_steps(norm, need):
    # one step of each of so many features, where a relaxation has all of them move a little
    W = np.ones((1, 600))
    network = Network([(W, [-float(need)])], head="threshold", classes=[0, 1])
    found = certify(network, np.zeros((1, 600)), norm=norm, integer=True, lower=0, upper=255)
    assert not found.undecided[0]
    assert found.radius[0] ** (1 if norm == "1" else 2) == pytest.approx(need, rel=1e-15)
    assert found.distance[0] in (found.radius[0], np.nextafter(found.radius[0], np.inf))


@pytest.mark.parametrize("norm", NORMS)
def test_frozen_and_real_columns(norm):
    # the real column is frozen, or does not matter: the integers alone decide
    network = Network([([[2.0, -3.0, 0.0, 1.0]], [-12.5])], head="threshold", classes=[0, 1])
    x = np.array([0.0, 0.0, 0.3, 0.25])
    found = certify(network, [x], norm=norm, integer=[0, 1], frozen=[3])
    moves = np.array(list(itertools.product(range(-8, 9), repeat=2)), dtype=float)
    Z = np.hstack([moves, np.tile(x[2:], (len(moves), 1))])
    near = moves[network.predict_index(Z) == 1]
    sizes = {"inf": np.abs(near).max(axis=1), "1": np.abs(near).sum(axis=1), "2": (near**2).sum(axis=1)}[norm]
    if norm == "2":
        assert Fraction(found.radius[0]) ** 2 <= sizes.min() <= Fraction(found.distance[0]) ** 2
        assert found.distance[0] <= np.nextafter(found.radius[0], np.inf)
    else:
        assert found.radius[0] == found.distance[0] == sizes.min()


def test_what_is_attained_counts_below_its_radius():
    network = Network([([[1.0, 1.0]], [-3.0])], head="threshold", classes=["no", "yes"])
    found = certify(network, [[0.0, 0.0], [3.0, 2.0]], integer=True, norm="1")
    assert found.radius.tolist() == [3.0, 3.0] and found.attained.all() and found.robust.all()
    curve = found.curve([0.0, 1.0, 2.0, 2.999, 3.0])
    assert curve.certified.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0] and curve.attacked.tolist() == curve.certified.tolist()


@pytest.fixture(scope="module")
def many_integers(tmp_path_factory):
    """A file of one row of 784 integers, the row, weights, and a reader of tables that reads the file once."""
    n, rng = 784, np.random.default_rng(3)
    W = rng.choice([-1, 1], (1, n))
    x = rng.integers(1, 255, n)
    path = tmp_path_factory.mktemp("integers") / "data.csv"
    with open(path, "w", newline="") as file:
        write = csv.writer(file).writerow
        write([*(f"p{j}" for j in range(n)), "label"])
        write([*x.tolist(), "yes"])
    read, found = tables.read_table, {}

    def read_once(*given, **settings):
        asked = repr((given, settings))
        if asked not in found:
            found[asked] = read(*given, **settings)
        return found[asked]

    return path, x, W, read_once


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("hidden", [False, True])
def test_many_integers_through_the_command(capsys, tmp_path, monkeypatch, many_integers, norm, hidden):
    data, x, W, read_once = many_integers
    monkeypatch.setattr(tables, "read_table", read_once)
    layers = [(W, [-int(W[0] @ x)])]  # the row lies on the border, from which one step leads over
    if hidden:
        layers.append((np.array([[1]]), np.array([-1])))
    names = tuple(f"p{j}" for j in range(len(x)))
    network = Network(layers, head="threshold", classes=["no", "yes"], feature_names=names)
    save_model(tmp_path / "model.json", Model(network))
    files, options = (
        (tmp_path / "model.json", data),
        ("--target", "label", "--integer", "--norm", norm),
    )
    for form in (["--json"], []):
        with pytest.raises(SystemExit) as stop:
            cli.main(["certify", *map(str, files), *options, "--lower", "0", "--upper", "255", "--quiet", *form])
        out, err = capsys.readouterr()
        assert stop.value.code == 0 and err == ""
        if form:
            values = json.loads(out)
            assert values["radius"] == values["distance"] == [1.0] and values["median_radius"] == 1.0
            assert values["undecided"] == 0
        else:
            assert "median radius       1 of the right points" in out
