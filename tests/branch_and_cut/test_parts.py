"""Bounds from parts of the data."""

import json

import numpy as np
import pytest

from bdnn import Budget, Problem, cli
from bdnn.branch_and_cut import parts
from bdnn.branch_and_cut.parts import Parts
from bdnn.methods import exact_activation
from bdnn.methods.exact import ExactTraining
from bdnn.methods.run import Run
from bdnn.methods.starts import constant
from clocks import ticking


def noisy(rows, seed, features=2):
    rng = np.random.default_rng(seed)
    X = rng.integers(-9, 10, (rows, features)).astype(float)
    return X, (X.sum(axis=1) + rng.normal(0, 8, rows) > 0).astype(int)


def bounded(X, y, hidden, seconds, monkeypatch, size=25, weight=None):
    monkeypatch.setattr(parts, "_MIN_POINTS", size)
    monkeypatch.setattr(parts, "_POINTS_PER_WEIGHT", 1)
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden, sample_weight=weight)
    run = Run(problem, Budget(seconds=seconds).start(), None)
    run.submit(constant(run.reduced), "constant")
    return Parts(run).work(), run


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden", [(), (2,)])
def test_the_bound_of_parts_is_a_bound(hidden, seed, monkeypatch):
    X, y = noisy(80 if hidden == () else 45, seed)
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden)
    optimum = ExactTraining()(problem, Budget(seconds=60))
    assert optimum.status == "optimal"
    message, run = bounded(X, y, hidden, 0.7, monkeypatch)
    assert "parts" in message
    assert run.reduced.irreducible <= run.bound <= optimum.objective
    if hidden == ():
        assert run.bound > run.reduced.irreducible


def test_parts_grow_until_they_are_the_whole(monkeypatch):
    X, y = noisy(60, 1)
    optimum = ExactTraining()(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(seconds=60))
    message, run = bounded(X, y, (), 60, monkeypatch)
    assert run.bound == optimum.objective
    assert "1 parts" in message


@pytest.mark.parametrize("seed", range(3))
def test_real_weights(seed, monkeypatch):
    X, y = noisy(60, seed)
    weight = np.random.default_rng(seed).uniform(0.1, 3.0, len(X))
    optimum = ExactTraining()(Problem(X=X, y=y, hidden_layer_sizes=(), sample_weight=weight), Budget(seconds=60))
    _, run = bounded(X, y, (), 0.5, monkeypatch, weight=weight)
    assert 0 < run.bound <= optimum.objective * (1 + 1e-9)


def test_exact_training_deals_large_data(monkeypatch):
    monkeypatch.setattr(exact_activation, "_MAX_COLUMNS", 100)
    X, y = noisy(600, 0, features=8)  # not to be proven in minutes
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    with ticking(4.0, step=1e-3):
        result = ExactTraining(certificate=True)(problem, Budget(seconds=4))
    assert result.irreducible < result.bound < result.objective
    assert "parts" in result.message and "real weights" in result.bound_of
    assert result.certificate is None
    assert result.timings["total"] < 5


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command(tmp_path, capsys, jobs):
    X, y = noisy(70, 0)
    table = tmp_path / "t.csv"
    np.savetxt(table, np.column_stack([X, y]), delimiter=",", header="a,b,label", comments="")
    words = ["bound", str(table), "--target", "label", "--test-fraction", "0", "--time-limit", "30", "-q"]
    words += ["--jobs", jobs]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert stop.value.code == 0
    assert report["bound"] == report["best_loss_known"] > 0
    assert report["rows"] == 70 and report["status"] == "optimal"
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--hidden", "9"])
    assert stop.value.code == 2
    assert "up to five neurons" in capsys.readouterr().err


def test_a_cluster_that_is_none_is_wrong_usage(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("a,y\n1,0\n2,1\n3,0\n", encoding="utf-8")
    for words in (["bound"], ["train", "--method", "exact"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, str(table), "--target", "y", "--test-fraction", "0", "-q", "--cluster", "local:no"])
        assert stop.value.code == 2
        assert "'local:no'" in capsys.readouterr().err


def test_the_command_with_a_model(tmp_path, capsys):
    X, y = noisy(70, 0)
    table, model = tmp_path / "t.csv", tmp_path / "m.json"
    np.savetxt(table, np.column_stack([X, y]), delimiter=",", header="a,b,label", comments="")
    common = [str(table), "--target", "label", "--test-fraction", "0", "-q"]
    for words in (
        ["train", *common, "--hidden", "1", "--method", "local_search", "--time-limit", "2", "--out", str(model)],
        ["bound", *common, "--model", str(model), "--time-limit", "30"],
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "no loss is below" in shown and "1 hidden neurons" in shown
