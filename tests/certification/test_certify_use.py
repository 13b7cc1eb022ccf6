"""Certification from outside: bad input, limits, Ctrl-C, the estimator and the command line."""

import csv
import itertools
import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, Budget, Network, certify, cli
from bdnn.certification import many_points
from bdnn.certification.pattern_search import NODES_PER_CALL, PatternSearch
from bdnn.clock import replaced
from bdnn.errors import InputError
from clocks import ticking
from plain import random_network

PLANE = Network([([[1.0, 1.0]], [-1.0])], head="threshold", classes=["no", "yes"], feature_names=["a", "b"])
BAD = {
    "NaN": ({"X": [[np.nan, 0.0]]}, "NaN or infinity"),
    "shape": ({"X": [[1.0]]}, "shape"),
    "one point": ({"X": [0.0, 1.0]}, "shape"),
    "norm": ({"norm": "3"}, "norm must be 'inf', '1' or '2', got '3'"),
    "negative radius": ({"radius": -0.5}, "radius must be a finite number >= 0, or None.*got -0.5"),
    "NaN radius": ({"radius": float("nan")}, "radius must be"),
    "radius as text": ({"radius": "0.1"}, "radius must be"),
    "labels": ({"y": ["no", "maybe"]}, r"1 of 2 labels are not classes of the network \(no, yes\): 'maybe' \(row 1\)"),
    "number of labels": ({"y": ["no"]}, r"one label per row of X \(2\), got 1"),
    "scale 0": ({"scale": [1.0, 0.0]}, "scale must be finite and positive, got 0 for feature 1; freeze"),
    "shape of scale": ({"scale": [1.0, 1.0, 1.0]}, r"scale must be a number or one per feature, of shape \(2,\)"),
    "crossing bounds": ({"lower": 2.0, "upper": 1.0}, "lower must not exceed upper, got 2 > 1"),
    "point outside": ({"upper": 0.5}, "row 0 has 1 in feature 0, outside the bounds -inf to 0.5; widen"),
    "NaN bound": ({"lower": float("nan")}, "must not hold NaN"),
    "frozen name": ({"frozen": ["c"]}, "indices from 0 to 1 or one of the names a, b, or be a mask, got 'c'"),
    "frozen index": ({"frozen": [2]}, "frozen must hold indices"),
    "frozen mask": ({"frozen": [True]}, r"one entry per feature \(2\), got 1"),
    "point limit": ({"point_time_limit": 0}, "point_time_limit must be a positive number"),
    "seconds": ({"point_time_limit": "1"}, "point_time_limit must be a positive number"),
    "jobs": ({"n_jobs": 0}, "n_jobs must be a positive integer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_message(case):
    changes, message = BAD[case]
    values = {"X": [[1.0, 1.0], [0.0, 0.5]], "y": ["yes", "no"]} | changes
    with pytest.raises(InputError, match=message):
        certify(PLANE, values.pop("X"), values.pop("y"), **values)


def test_an_estimator_is_no_network():
    with pytest.raises(InputError, match="use clf"):
        certify(BDNNClassifier(), [[1.0, 1.0]])


def test_frozen_features_by_name_mask_and_index():
    by = [certify(PLANE, [[1.0, 1.0]], frozen=f) for f in ("a", ["a"], [0], [True, False], np.array([True, False]))]
    assert all(found.radius[0] == pytest.approx(1.0) for found in by)
    assert all(found.attack[0, 0] == 1.0 for found in by)


def hard():
    """A network and points that take minutes."""
    rng = np.random.default_rng(0)
    n = d = 80
    layers = [(rng.normal(size=(d, n)), rng.normal(size=d)), (rng.normal(size=(1, d)), np.array([-12.0]))]
    return Network(layers, head="threshold", classes=[0, 1]), 0.3 * rng.normal(size=(6, n))


def test_time_limits_leave_points_undecided():
    network, X = hard()
    with ticking(6 * 0.3, most_late=100):
        found = certify(network, X, radius=0.07, point_time_limit=0.3)
    assert np.all(found.seconds < 0.5) and found.seconds.max() >= 0.3
    assert found.robust_accuracy <= found.attacked_accuracy
    with ticking(0.5, most_late=100):
        found = certify(network, X, budget=Budget(seconds=0.5))
    assert found.undecided.any() and not found.interrupted
    assert np.all(found.radius <= found.distance)
    assert certify(network, X, budget=Budget(nodes=1)).undecided.any()


def test_what_is_proven_stands_when_the_time_runs_out():
    network, X = hard()
    with ticking():
        found = certify(network, X[:2], point_time_limit=1.5)
    assert np.all(found.undecided) and np.all(found.radius > 0.02) and np.all(found.radius < found.distance)


def test_progress_comes_several_times_a_second():
    network, X = hard()
    seen = []
    with ticking(1.5):
        certify(network, X, budget=Budget(seconds=1.5), on_progress=seen.append)
    assert len(seen) >= 3
    assert all("of 6 points" in p.phase for p in seen)
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_returns_what_is_decided(jobs):
    network, X = hard()
    easy = random_network(np.random.default_rng(0), 2, (2,))
    certify(easy, [[0.0, 0.0]])
    seen = []

    def listener(progress):
        seen.append(progress)
        if len(seen) == 1:
            signal.raise_signal(signal.SIGINT)

    found = certify(network, X, n_jobs=jobs, on_progress=listener)
    assert found.interrupted and found.undecided.any()
    assert len(found.radius) == len(X)


def test_no_points_at_all():
    found = certify(PLANE, np.empty((0, 2)), radius=0.1)
    assert found.robust_accuracy == found.clean_accuracy == 1.0 and found.attack.shape == (0, 2)
    assert "points" in found.summary()


def test_figures_of_a_certification():
    found = certify(PLANE, [[1.0, 1.0], [0.0, 0.5]], ["yes", "yes"], radius=0.4)
    assert (found.clean_accuracy, found.attacked_accuracy, found.robust_accuracy) == (0.5, 0.5, 0.5)
    values = found.to_dict()
    assert json.loads(json.dumps(values))["certified_accuracy"] == 0.5
    assert "certified accuracy  50.00%" in found.summary()
    smallest = certify(PLANE, [[1.0, 1.0], [0.0, 0.5]])
    curve = smallest.curve([0.0, 0.3, 0.6])
    assert curve.certified.tolist() == [1.0, 0.5, 0.0] and curve.attacked.tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(InputError, match="radii"):
        smallest.curve([-1.0])


def test_estimator_and_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [0.0, 0.0, 1.0, 1.0], "b": [0.0, 1.0, 0.0, 1.0]})
    y = ["same", "differ", "differ", "same"]
    clf = BDNNClassifier(hidden_layer_sizes=(2,), random_state=0).fit(X, y)
    found = clf.certify(X, y, radius=0.01, norm="2", frozen=["b"])
    assert found.robust_accuracy == 1.0
    assert np.array_equal(clf.certify(X).radius, certify(clf.network_, X.to_numpy()).radius)
    with pytest.raises(ValueError, match="feature names"):
        clf.certify(X.rename(columns={"a": "c"}), y)


@pytest.fixture
def model(tmp_path):
    rows = [[a, b, "even" if a == b else "odd"] for a in (0, 1) for b in (0, 1)]
    table = tmp_path / "xor.csv"
    table.write_text("a,b,parity\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    clf = BDNNClassifier(hidden_layer_sizes=(2,), random_state=0)
    clf.fit(np.array([row[:2] for row in rows], dtype=float), [row[2] for row in rows], feature_names=["a", "b"])
    clf.save(tmp_path / "model.json")
    return tmp_path / "model.json", table


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_command_line(capsys, model, tmp_path):
    file, table = model
    out_file = tmp_path / "attacks.csv"
    code, out, err = run(capsys, "certify", file, table, "--target", "parity", "--out", out_file, "--quiet")
    assert (code, err) == (0, "")
    assert "clean accuracy      100.00%" in out and "median radius" in out
    attacks = list(csv.DictReader(out_file.open()))
    network = bdnn.load(file).network_
    assert len(attacks) == 4
    for attack in attacks:
        assert network.predict([[float(attack["a"]), float(attack["b"])]])[0] == attack["prediction"]
    words = ("--radius", 0.001, "--frozen", "a", "--lower", 0, "--upper", "1,1", "--scale", "range", "--integer")
    code, out, err = run(capsys, "certify", file, table, "--target", "parity", *words, "--json", "-q", "--jobs", 2)
    assert (code, err) == (0, "")
    assert json.loads(out)["certified_accuracy"] == 1.0
    code, out, _ = run(capsys, "certify", file, table, "--target", "parity", "--radius", 0.6, "--norm", 1, "-q")
    assert code == 0 and "certified accuracy  0.00%, at least" in out
    for wrong in (("--norm", "3"), ("--radius", -1), ("--lower", 0.5), ("--frozen", "c"), ("--time-limit", 0)):
        code, out, err = run(capsys, "certify", file, table, "--target", "parity", *wrong)
        assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert run(capsys, "certify", file, table)[0] == 2  # the model file names no target


class Slow(int):
    """A number of nodes during whose addition another thread reports nodes of its own."""

    def __radd__(self, others):
        self.other.start()
        self.other.join(0.3)  # it may have to wait until this addition is over
        return others + int(self)


def test_nodes_of_threads_are_counted_once_each():
    run = many_points._Run(Budget().start(), None, [])
    nodes = Slow(1)
    nodes.other = threading.Thread(target=run.report, args=(5,))
    run.report(nodes)
    nodes.other.join()
    assert run.nodes == 6


@pytest.mark.parametrize("n_jobs", [1, 4])
def test_a_limit_on_nodes_holds_for_all_points_and_threads_together(n_jobs):
    network, X = hard()
    told = []
    whole = certify(network, X, radius=0.05, point_time_limit=0.3, n_jobs=n_jobs, on_progress=told.append)
    few = certify(network, X, radius=0.05, budget=Budget(nodes=1), n_jobs=n_jobs)
    assert whole.nodes.sum() > few.nodes.sum() > 0
    assert few.undecided.any()
    nodes = [progress.nodes for progress in told]
    assert nodes == sorted(nodes) and nodes[-1] <= whole.nodes.sum()


def test_certification_in_a_fresh_process_compiles_nothing():
    code = """
import sys
import bdnn
network = bdnn.Network([([[1.0, 1.0]], [-1.0]), ([[1.0]], [-1.0])], head="threshold", classes=["no", "yes"])
for norm in ("inf", "1", "2"):
    found = bdnn.certify(network, [[0.0, 0.5]], norm=norm, integer=[0])
    print(found.undecided[0], bdnn.attack(network, [[0.0, 0.5]], norm=norm).distance[0] > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"] * 3


def test_a_limit_acts_inside_of_a_node(monkeypatch):
    # linear programs of 120 rows and 3000 columns take a while each; the time is up as soon as the tree is entered
    rng = np.random.default_rng(0)
    d, n = 120, 3000
    layers = [(rng.normal(size=(d, n)), rng.normal(size=d)), (np.ones((1, d)), np.array([-0.5 * d]))]
    network = Network(layers, head="threshold", classes=[0, 1])
    entered, explore = [], PatternSearch.explore

    def watched(search, tree):
        entered.append(tree)
        return explore(search, tree)

    monkeypatch.setattr(PatternSearch, "explore", watched)
    with replaced(lambda: 100.0 if entered else 0.0):
        found = certify(network, rng.normal(size=(1, n)), norm="2", radius=10.0, point_time_limit=20.0)
    # the tree was asked for a batch of nodes and left it
    assert found.undecided[0] and len(entered) == 1 and entered[0].nodes < NODES_PER_CALL
