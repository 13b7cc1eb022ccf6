"""Ends of input grids: the extremes, unless a few of them would take nearly all of the points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

import bdnn
from bdnn import BDNNClassifier, Network, certify, cli
from bdnn.network.grid import InputGrid, ends
from bdnn.problem.presolve import presolve
from bdnn.problem.problem import Problem
from bdnn.reports.summary import model_text, training_text

ON_GRID = "every classifier on the grid of 8-bit inputs"


def spans(X, bits):
    first, step = ends(X, bits)
    low, high = X.min(axis=0), X.max(axis=0)
    return np.array_equal(first, low) and np.array_equal(step, (high - low) / (2**bits - 1))


def sentinel_rows():
    """24 readings around 20, of which one is a sentinel; a threshold at 20 separates the others."""
    x = np.append(np.sort(np.random.default_rng(0).uniform(15, 25, 23)), 65535.0)
    return x[:, None], (x > 20).astype(int)


def spiked_rows():
    """120 rows of ten columns with a spike in each, and labels that a plane separates without them."""
    X = np.random.default_rng(0).normal(20, 2, (120, 10))
    y = (X[:, 0] + X[:, 1] - X[:, 2] > 20).astype(int)
    X[np.arange(10) * 11, np.arange(10)] = 65535.0
    return X, y


def table(path, X, y):
    names = [f"c{j}" for j in range(X.shape[1])]
    rows = [",".join([*map(repr, row), str(label)]) for row, label in zip(X.tolist(), y, strict=True)]
    path.write_text("\n".join([",".join([*names, "y"]), *rows]) + "\n")
    return path


@pytest.mark.parametrize("rows", [30, 500, 20_000])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_data_without_extremes_have_the_grid_that_spans_them(rows, bits):
    rng = np.random.default_rng(rows)
    assert spans(rng.uniform(-3, 5, (rows, 5)), bits)
    assert spans(rng.normal(size=(rows, 5)), bits)
    assert spans(rng.integers(0, 2, (rows, 5)) + 0.5, bits)
    assert spans(np.where(rng.random((rows, 5)) < 0.99, 0.0, rng.random((rows, 5))), bits)  # mostly zero
    assert spans(np.linspace(0.0, 1.0, rows)[:, None] ** 2, bits)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes"])
def test_grids_of_known_data_are_those_that_span_them(name):
    X = getattr(datasets, f"load_{name}")(return_X_y=True)[0].astype(float)
    assert spans(X, 8)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (1, 0), (0, 5), (3, 3), (1, 40), (30, 1)], ids=lambda count: str(count)
)
def test_extremes_go_to_a_point_of_their_own(bits, low, high):
    rng = np.random.default_rng(bits)
    x = np.concatenate([np.full(low, -9999.0), rng.uniform(15, 25, 100), np.full(high, 65535.0)])
    grid = InputGrid.spanning(rng.permutation(x)[:, None], bits)
    Q = grid.quantize(x[:, None])[:, 0]
    inner, points = Q[low : low + 100], 2**bits
    others = np.concatenate([Q[:low], Q[low + 100 :]])
    assert not set(inner) & set(others)
    assert np.all(Q[:low] == 0) and np.all(Q[low + 100 :] == points - 1)
    # the readings have all other points, from end to end
    assert inner.max() - inner.min() == points - 1 - (low > 0) - (high > 0)
    assert len(set(inner)) >= {4: 12, 8: 70, 16: 98}[bits]


@pytest.mark.parametrize("bits", [1, 2])
def test_grids_of_few_points_hold_readings_apart(bits):
    x = np.append(np.random.default_rng(bits).uniform(15, 25, 100), 65535.0)
    inner = InputGrid.spanning(x[:, None], bits).quantize(x[:100, None])
    assert len(np.unique(inner)) >= 2 and np.unique(inner, return_counts=True)[1].max() <= 60


def test_extremes_of_many_kinds_at_once():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(20, 2, 1000), [65535.0, 1e9, 1e12, -9999.0], np.full(30, 32767.0)])
    X = np.column_stack([x, rng.normal(size=len(x))])
    first, step = ends(X, 8)
    kept = np.unique(InputGrid(first, step, 8).quantize(X)[:1000, 0])
    assert len(kept) > 150
    assert (first[1], step[1]) == (X[:, 1].min(), (X[:, 1].max() - X[:, 1].min()) / 255)
    # however many rows there are
    many = np.vstack([rng.normal(20, 2, (50_000, 2)), [[65535.0, -9999.0]]])
    Q = InputGrid.spanning(many, 8).quantize(many)
    assert all(len(np.unique(column)) > 200 for column in Q.T)
    problem = Problem(X=many, y=np.arange(50_001) % 2, weights="integer")
    assert np.all(np.ptp(presolve(problem).grid.quantize(many[:-1]), axis=0) >= 250)


def test_quantising_stays_monotone_and_certified():
    X, _ = sentinel_rows()
    grid = InputGrid.spanning(X, 8)
    far = np.concatenate([np.linspace(-1e6, 1e6, 4001), np.linspace(10, 30, 4001), X[:, 0], [-1e308, 1e308]])
    Q = grid.quantize(np.sort(far)[:, None])[:, 0]
    assert np.all(np.diff(Q) >= 0) and Q[0] == 0 and Q[-1] == 255
    # fires from the point of the sentinel on: the nearest other input is the last float below it
    network = Network([(np.array([[1]]), np.array([-255]))], head="threshold", classes=[0, 1], grid=grid)
    found = certify(network, [[65535.0], [20.0]])
    first = float(found.attack[1, 0])
    below = np.array([[np.nextafter(first, 0.0)]])
    assert grid.quantize(np.array([[first]]))[0, 0] == 255 and grid.quantize(below)[0, 0] == 254
    assert found.attack[0, 0] == below[0, 0]
    assert found.radius[1] == first - 20.0 == found.distance[1]
    assert found.radius[0] <= 65535.0 - below[0, 0] <= found.distance[0]


@pytest.mark.parametrize("hidden", [(), (2,)])
def test_a_sentinel_through_the_command_in_a_fresh_process(tmp_path, hidden):
    X, y = sentinel_rows()
    file = table(tmp_path / "readings.csv", X, y)
    words = ["train", str(file), "--target", "y", "--weights", "integer", "--test-fraction", "0", "--json", "--quiet"]
    words += ["--hidden", ",".join(map(str, hidden)) or "none", "--out", str(tmp_path / "model.json")]
    environment = os.environ | {"PYTHONPATH": str(Path(bdnn.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-m", "bdnn", *words], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    # the sentinel lies on one side: as an input like others it is above 20, as its label says
    assert (report["training_loss"], report["irreducible_loss"], report["status"]) == (0, 0, "optimal")
    assert report["distinct_training_rows"] >= 22
    assert (report["irreducible_of"], report["grid_loss"]) == (ON_GRID, 0)
    network = bdnn.load(tmp_path / "model.json").network_
    assert np.array_equal(network.predict(X), y)


def test_spikes_through_the_command(capsys, tmp_path):
    file = table(tmp_path / "spikes.csv", *spiked_rows())
    words = ("--target", "y", "--weights", "integer", "--test-fraction", "0", "--json", "--quiet", "--hidden", "2")
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(file), *words, "--time-limit", "20"])
    report = json.loads(capsys.readouterr().out)
    assert stop.value.code == 0
    assert report["training_accuracy"] >= 0.99 and report["distinct_training_rows"] == 120


def two_heaps():
    """Readings in two heaps as large as each other: any grid that holds both has few points for each."""
    x = np.concatenate([np.arange(12) * 1e-3, 1e6 + np.arange(12) * 1e-3])
    return x[:, None], (np.arange(24) % 2)


def test_what_a_grid_costs_is_said(capsys, tmp_path):
    X, y = two_heaps()
    file, model = table(tmp_path / "heaps.csv", X, y), tmp_path / "model.json"
    words = ["train", str(file), "--target", "y", "--weights", "integer", "--hidden", "1", "--test-fraction", "0", "-q"]
    with pytest.raises(SystemExit):
        cli.main([*words, "--out", str(model)])
    out = capsys.readouterr().out
    assert f"irreducible loss  12 for {ON_GRID}" in out
    assert out.count("warning ") == 1
    (warning,) = (line for line in out.splitlines() if line.startswith("warning "))
    assert "12 of this are rows that differ, but not on the grid" in warning and "--input-bits" in warning
    assert f"bound             12 for {ON_GRID}" in out
    with pytest.raises(SystemExit):
        cli.main([*words, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["irreducible_loss"], report["grid_loss"], report["irreducible_of"]) == (12, 12, ON_GRID)
    assert (
        "the 8-bit grid of the inputs makes rows of different labels equal, which costs 12 of the loss"
        in (report["message"])
    )
    # the file keeps both, and files that say neither are read as they always were
    kept = bdnn.load(model).result_
    assert (kept.irreducible_of, kept.grid_loss) == (ON_GRID, 12)
    assert f"irreducible loss 12 for {ON_GRID}" in model_text(bdnn.model_file.load_model(model)).replace("\n", " ")
    older = json.loads(model.read_text())
    del older["result"]["irreducible_of"], older["result"]["grid_loss"]
    model.write_text(json.dumps(older))
    kept = bdnn.load(model).result_
    assert (kept.irreducible_of, kept.grid_loss) == ("every classifier on these inputs", 0)


def test_equal_inputs_are_no_fault_of_the_grid():
    X, y = two_heaps()
    X, y = np.vstack([X, X[:1], [[5e5]]]), np.concatenate([y, [1, 0]])  # and one row with both labels
    reduced = presolve(Problem(X=X, y=y, weights="integer"))
    assert (reduced.irreducible, reduced.grid_loss, reduced.everything) == (12.0, 11.0, ON_GRID)
    real = presolve(Problem(X=X, y=y))
    assert (real.irreducible, real.grid_loss, real.everything) == (1.0, 0.0, "every classifier on these inputs")
    whole = presolve(Problem(X=np.rint(X), y=y, weights="integer"))
    assert (whole.grid, whole.grid_loss, whole.everything) == (None, 0.0, "every classifier on these inputs")


@pytest.mark.parametrize("method", ["local_search", "alternating", "data_splitting", "exact"])
def test_every_method_says_what_its_bound_is_of(method):
    X, y = two_heaps()
    clf = BDNNClassifier(hidden_layer_sizes=(1,), weights="integer", method=method, time_limit=20, random_state=0)
    result = clf.fit(X, y).result_
    assert (result.status, result.objective, result.bound) == ("optimal", 12.0, 12.0)
    assert result.bound_of == result.irreducible_of == ON_GRID
    assert result.message.count("grid of the inputs") == 1
    values = result.to_dict()
    assert (values["irreducible_of"], values["grid_loss"]) == (ON_GRID, 12.0)


def test_no_warning_where_nothing_is_lost():
    X, y = sentinel_rows()
    result = BDNNClassifier((2,), weights="integer", time_limit=20, random_state=0).fit(X, y).result_
    assert "grid" not in result.message
    report = {
        "missing_replaced": {},
        "rows": 24,
        "features": 1,
        "training_rows": 24,
        "rows_without_label": 0,
        "class_weight": None,
        "weighted": False,
        "operating_point": None,
        "model_file": None,
    }
    figures = {
        "distinct_training_rows": 23, "irreducible_loss": 0.0, "irreducible_of": ON_GRID, "grid_loss": 0.0,
        "training_loss": 0.0, "training_errors": 0, "training_accuracy": 1.0, "penalty": 0.0, "objective": 0.0,
        "bound": 0.0, "bound_of": ON_GRID, "gap": 0.0, "status": "optimal", "message": "", "seconds": 1.0,
        "validation_accuracy": None, "n_parameters": 7, "size_bytes": 20,
    }  # fmt: skip
    assert "warning" not in training_text(report | figures)
