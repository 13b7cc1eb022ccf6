"""Certificates of real runs, checked by the independent checker; and checkpoints."""

import json
import signal
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from bdnn import BDNNClassifier, Budget, Problem, Status, verify_certificate
from bdnn.branch_and_cut import checkpoint
from bdnn.branch_and_cut.engine import Proof, work
from bdnn.errors import CertificateError, InputError
from bdnn.methods.exact import ExactTraining
from bdnn.methods.incumbents import submit_starts
from bdnn.methods.run import Run
from clocks import ticking


def data(rows, seed=0, features=5):
    X, y = load_breast_cancer(return_X_y=True)
    chosen = np.random.default_rng(seed).permutation(len(X))[:rows]
    return X[chosen, :features], y[chosen]


def noisy(rows, seed, features=2):
    """Small integers with labels of little use, so that there is something to prove."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, (rows, features)).astype(float)
    return X, (X.sum(axis=1) + rng.normal(0, 2.5, rows) > 0).astype(int)


def hard():
    """Some twenty nodes, or more."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 5))
    return X, (X[:, 0] + rng.normal(0, 1.5, 60) > 0).astype(int)


def run(X, y, hidden=(), weight=None, seconds=60, **settings):
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden, sample_weight=weight)
    return ExactTraining(certificate=True, **settings)(problem, Budget(seconds=seconds))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden", [(), (1,), (2,), (3,)])
def test_certificates_of_optimal_networks_hold(hidden, seed):
    X, y = noisy(18 if hidden == (3,) else 25, seed)
    result = run(X, y, hidden)
    assert result.status == Status.OPTIMAL
    verified = verify_certificate(json.loads(json.dumps(result.certificate)), X, y)
    assert verified.optimal
    assert verified.loss == verified.bound == Fraction(result.objective)
    assert verified.n_trees == {(): 1, (1,): 1, (2,): 2, (3,): 5}[hidden]


@pytest.mark.parametrize("hidden", [(), (1,), (2,)])
def test_an_argmax_over_two_classes(hidden):
    X, y = noisy(22, 1)
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden, head="argmax")
    result = ExactTraining(certificate=True)(problem, Budget(seconds=60))
    certificate = json.loads(json.dumps(result.certificate))
    verified = verify_certificate(certificate, X, y)
    assert verified.optimal and verified.loss == verified.bound == Fraction(result.objective) > 0
    assert "two outputs of which the larger wins" in verified.statement
    certificate["architecture"]["head"] = "threshold"
    with pytest.raises(CertificateError):
        verify_certificate(certificate, X, y)


def test_real_features_without_incumbents():
    X, y = data(60, features=4)
    result = run(X, y, incumbents="none")
    verified = verify_certificate(result.certificate, X, y)
    assert verified.optimal and verified.loss == Fraction(result.objective)
    assert verified.n_cuts > 0


@pytest.mark.parametrize("unit", [1.0, 3.0, 0.25])
def test_weights_in_other_units(unit):
    X, y = noisy(20, 5)
    weight = unit * np.random.default_rng(1).integers(0, 4, len(X))
    result = run(X, y, weight=weight)
    assert result.status == Status.OPTIMAL
    verified = verify_certificate(result.certificate, X, y, weight)
    assert verified.optimal and verified.loss == Fraction(result.objective)


def test_nothing_to_prove():
    result = run([[0.0], [1.0]], [0, 1])
    verified = verify_certificate(result.certificate, [[0.0], [1.0]], [0, 1])
    assert verified.optimal and verified.loss == 0


@pytest.mark.parametrize("nodes", [1, 3, 10])
def test_a_stopped_run_certifies_its_bound(nodes):
    X, y = hard()
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    result = ExactTraining(certificate=True)(problem, Budget(nodes=nodes))
    assert result.status == Status.FEASIBLE
    verified = verify_certificate(result.certificate, X, y)
    assert not verified.optimal
    assert verified.bound == Fraction(result.bound) > 0
    assert verified.loss == Fraction(result.objective)


def test_ctrl_c_leaves_a_certificate():
    X, y = noisy(60, 3, features=3)
    seen = 0

    def listener(progress):
        nonlocal seen
        seen += progress.phase == "solve"
        if seen == 2:
            raise KeyboardInterrupt

    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    result = ExactTraining(certificate=True)(problem, Budget(seconds=60), on_progress=listener)
    assert result.interrupted
    assert verify_certificate(result.certificate, X, y).bound <= Fraction(result.objective)


def test_a_claim_that_is_too_high_is_refused():
    X, y = hard()
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    certificate = ExactTraining(certificate=True)(problem, Budget(nodes=3)).certificate
    assert certificate is not None
    certificate["bound"] = str(Fraction(certificate["bound"]) + 1)
    with pytest.raises(CertificateError):
        verify_certificate(certificate, X, y)


def test_no_certificate_for_weights_without_a_unit():
    X, y = noisy(20, 5)
    result = run(X, y, weight=np.random.default_rng(1).uniform(0.5, 1.5, len(X)))
    assert result.certificate is None


def test_from_the_estimator():
    X, y = noisy(25, 0)
    clf = BDNNClassifier(hidden_layer_sizes=(), method="exact", certificate=True, random_state=0).fit(X, y)
    assert verify_certificate(clf.result_.certificate, X, y).optimal
    assert "certificate" not in clf.result_.to_dict()


# checkpoints


def test_a_checkpoint_goes_on_to_the_same_end(tmp_path):
    X, y = hard()
    path = tmp_path / "state.npz"
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    whole = ExactTraining()(problem, Budget(seconds=60))
    first = ExactTraining(checkpoint=path, certificate=True)(problem, Budget(nodes=5))
    assert first.status == Status.FEASIBLE and path.exists()
    second = ExactTraining(checkpoint=path, certificate=True)(problem, Budget(seconds=60))
    assert (second.status, second.objective, second.bound) == (Status.OPTIMAL, whole.objective, whole.bound)
    assert second.nodes > first.nodes == 5
    assert verify_certificate(second.certificate, X, y).optimal
    third = ExactTraining(checkpoint=path, certificate=True)(problem, Budget(seconds=60))
    assert (third.objective, third.nodes) == (second.objective, second.nodes)
    assert verify_certificate(third.certificate, X, y).optimal
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("hidden", [(2,), (3,)])
def test_checkpoints_of_several_trees(hidden, tmp_path):
    X, y = noisy(25, 1)
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden)
    whole = ExactTraining()(problem, Budget(seconds=60))
    path = tmp_path / "state.npz"
    for nodes in (2, 4, 8):
        ExactTraining(checkpoint=path, incumbents="none")(problem, Budget(nodes=nodes))
    result = ExactTraining(checkpoint=path, incumbents="none")(problem, Budget(seconds=60))
    assert (result.status, result.objective) == (Status.OPTIMAL, whole.objective)


KILLED = """
import os, signal, sys, numpy as np
from bdnn import Budget, Problem
from bdnn.methods.exact import ExactTraining
X, y, state = np.load(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]

def listener(progress):
    if os.path.exists(state):
        os.kill(os.getpid(), signal.SIGKILL)

ExactTraining(checkpoint=state)(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(seconds=60), None, listener)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_run_can_go_on(tmp_path):
    X, y = noisy(150, 4, features=6)
    files = [tmp_path / "X.npy", tmp_path / "y.npy", tmp_path / "state.npz"]
    np.save(files[0], X)
    np.save(files[1], y)
    process = subprocess.run([sys.executable, "-c", KILLED, *map(str, files)], timeout=120)
    assert process.returncode == -signal.SIGKILL and files[2].exists()
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    result = ExactTraining(checkpoint=files[2])(problem, Budget(nodes=20))
    assert result.nodes > 0
    assert 0 < result.bound <= result.objective


@pytest.mark.parametrize("damage", ["text", "cut", "member"])
def test_a_damaged_checkpoint_is_refused(damage, tmp_path):
    X, y = hard()
    path = tmp_path / "state.npz"
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    ExactTraining(checkpoint=path)(problem, Budget(nodes=2))
    if damage == "text":
        path.write_text("not an archive")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        with np.load(path) as file:
            arrays = dict(file)
        arrays["lower 0"] = arrays["lower 0"][:, 1:]
        np.savez(path, **arrays)
    with pytest.raises(InputError, match="start over"):
        ExactTraining(checkpoint=path)(problem, Budget(nodes=2))


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    X, y = noisy(60, 3, features=3)
    path = tmp_path / "state.npz"
    ExactTraining(checkpoint=path)(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(nodes=2))
    with pytest.raises(InputError, match="other data"):
        ExactTraining(checkpoint=path)(Problem(X=X + 1.0, y=y, hidden_layer_sizes=()), Budget(nodes=2))
    with pytest.raises(InputError, match="other hidden_layer_sizes"):
        ExactTraining(checkpoint=path)(Problem(X=X, y=y, hidden_layer_sizes=(1,)), Budget(nodes=2))
    with pytest.raises(InputError, match="is not a writable folder"):
        ExactTraining(checkpoint=tmp_path / "none" / "x")(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(nodes=2))


@pytest.mark.parametrize("setting", [{"certificate": True}, {"checkpoint": "x"}])
def test_the_papers_program_has_neither(setting):
    with pytest.raises(InputError, match="activation"):
        ExactTraining(formulation="big_m", **setting)(Problem(X=[[0.0], [1.0]], y=[0, 1]), Budget(seconds=5))


def test_writing_a_certificate_is_shown_and_counted():
    X, y = data(60, features=4)
    seen = []
    with ticking() as clock:
        result = ExactTraining(certificate=True)(Problem(X=X, y=y), Budget(), on_progress=seen.append)
        now = clock.readings * clock.step
    assert seen[-1].phase == "certificate" and result.status == Status.OPTIMAL
    assert 0 < result.timings["certificate"] < result.timings["total"]
    assert now - result.timings["total"] < 0.1


def test_time_for_writing_is_kept_back_while_the_proof_is_open(monkeypatch):
    X, y = data(300, features=8)
    monkeypatch.setattr(Proof, "writing_seconds", 6.0)
    with ticking():
        result = ExactTraining(certificate=True, incumbents="none")(Problem(X=X, y=y), Budget(seconds=10))
    assert result.status == Status.FEASIBLE and "time limit" in result.message
    assert result.timings["total"] - result.timings["certificate"] < 5
    assert verify_certificate(result.certificate, X, y).bound <= Fraction(result.objective)


def test_time_for_the_last_checkpoint_is_kept_back_with_that_for_the_certificate(tmp_path, monkeypatch, trees_alone):
    X, y = data(300, features=8)
    with ticking(most_late=10**6) as clock:
        write = checkpoint.write

        def slow(*given):
            clock.readings += int(1.5 / clock.step)
            write(*given)

        monkeypatch.setattr(checkpoint, "write", slow)
        method = ExactTraining(certificate=True, incumbents="none", checkpoint=tmp_path / "state")
        for _ in range(2):  # a run, and one that goes on from its checkpoint
            result = method(Problem(X=X, y=y), Budget(seconds=12))
            assert result.status == Status.FEASIBLE and result.shortfalls == ()
            assert verify_certificate(result.certificate, X, y).bound <= Fraction(result.objective)
            assert result.timings["total"] < 13.1  # a second beyond the limit is the most for a certificate


def test_the_estimate_of_writing_follows_the_sets_and_a_stored_record(trees_alone):
    X, y = data(60, features=4)
    proofs = []
    for _ in range(2):
        run = Run(Problem(X=X, y=y), Budget(seconds=60).start(), None)
        submit_starts(run, None)
        proofs.append(Proof(run, record=True))
    first, second = proofs
    assert first.writing_seconds == 0
    with ticking():
        work(run, first)
        estimate = first.writing_seconds
        records = [tree.record for tree in first.trees]
        n, n_proofs = len(set().union(*(r.cuts for r in records))), sum(len(r.proofs) for r in records)
        assert n > 5 and estimate == pytest.approx(0.013 * n + 5e-5 * n_proofs, rel=0.01)
        second.restore(first.state())
        assert second.writing_seconds == pytest.approx(estimate)
