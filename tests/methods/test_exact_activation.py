"""The exact method over activations: when it is taken, what it says, and what it accepts."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from bdnn import Budget, Problem, verify_certificate
from bdnn.errors import InputError
from bdnn.methods import exact, exact_activation
from bdnn.methods.exact import ExactTraining
from cases import Case, loss_by_hand

X = [[0, 0], [3, 1], [1, 4], [5, 5], [2, 2], [6, 0], [0, 6], [4, 3], [1, 1], [4, 1]]
Y = [0, 1, 1, 0, 1, 0, 1, 0, 0, 1]
plain = functools.partial(ExactTraining, incumbents="none")


def problem(hidden: tuple[int, ...] = (2,), **settings: object) -> Problem:
    return Problem(**({"X": X, "y": Y, "hidden_layer_sizes": hidden} | settings))  # type: ignore[arg-type]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the two ways was taken."""
    taken: list[str] = []
    for name, way in (("ActivationTraining", "activation"), ("train_with_program", "big_m")):
        original = getattr(exact, name)

        def spy(*given, original=original, way=way, **settings):  # type: ignore[no-untyped-def]
            taken.append(way)
            return original(*given, **settings)

        monkeypatch.setattr(exact, name, spy)
    return taken


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "activation"),
        ({"solver": "highs"}, "big_m"),
        ({"formulation": "activation"}, "activation"),
        ({"formulation": "activation", "solver": "highs"}, "activation"),
        ({"formulation": "big_m"}, "big_m"),
    ],
)
def test_which_formulation_is_taken(calls: list[str], settings: dict[str, str], expected: str) -> None:
    result = plain(**settings)(problem(()), Budget(seconds=60))
    assert calls == [expected]
    assert result.status == "optimal"
    assert result.objective == Case(X=X, y=Y).optimum()
    assert (result.solver == "") == (expected == "activation")


REASONS = {
    "integer weights": {"weights": "integer"},
    "no biases": {"fit_intercept": False},
    "a regularizer": {"regularizer": "l1", "regularization": 0.01},
    "a robust radius": {"robust_radius": 0.01},
    "more than one hidden layer": {"hidden": (1, 1)},
    "more than five hidden neurons": {"hidden": (6,)},
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_is_not_covered_goes_to_the_paper_model_or_is_refused(reason: str, calls: list[str]) -> None:
    made = problem(**REASONS[reason])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f'"activation" does not cover {reason}: .*use "big_m" or "auto"'):
        ExactTraining(formulation="activation")(made)
    assert calls == []
    plain()(made, Budget(seconds=0.5))
    assert "activation" not in calls


def test_an_unknown_formulation() -> None:
    with pytest.raises(InputError, match="formulation"):
        ExactTraining(formulation="cuts")(problem())


@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("incumbents", ["none", "search"])
def test_the_result(hidden: tuple[int, ...], incumbents: str) -> None:
    weight = [1, 2, 1, 3, 1, 1, 2, 1, 1, 2]
    case = Case(X=X, y=Y, sample_weight=weight, hidden=hidden)
    result = ExactTraining(incumbents=incumbents)(case.problem(), Budget(seconds=60))
    assert result.objective == result.bound == result.audit.loss == loss_by_hand(result.network, case)
    assert result.objective == case.optimum()
    assert (result.status, result.method, result.solver, result.gap) == ("optimal", "exact", "", 0)
    assert result.message in ("optimal", "nothing left to improve")
    name = "-".join(map(str, hidden)) or "no"
    assert result.bound_of == f"networks with {name} hidden neurons, threshold head, any real weights"
    assert not result.interrupted
    assert {"presolve", "start", "total"} <= set(result.timings)
    assert all(0 <= seconds <= result.timings["total"] for seconds in result.timings.values())
    assert incumbents == "search" or result.nodes == 0 or {"build", "solve"} <= set(result.timings)


def test_progress() -> None:
    told = []
    result = plain(formulation="activation")(problem(), Budget(seconds=60), on_progress=told.append)
    assert "solve" in {progress.phase for progress in told}
    assert [p.bound for p in told] == sorted(p.bound for p in told)
    assert [p.objective for p in told] == sorted((p.objective for p in told), reverse=True)
    assert all(p.bound <= result.objective <= p.objective for p in told)
    assert [entry.objective for entry in result.history] == sorted((e.objective for e in result.history), reverse=True)
    assert result.history[-1].source == "activation"


def test_a_network_to_start_from() -> None:
    first = plain()(problem(), Budget(seconds=60))
    again = ExactTraining()(problem(), Budget(nodes=1, seconds=60), start=first.network)
    assert again.objective == first.objective
    wrong = plain()(problem((1,)), Budget(seconds=60)).network
    with pytest.raises(InputError):
        ExactTraining()(problem(), start=wrong)


def test_held_out_data_choose_the_network() -> None:
    rng = np.random.default_rng(0)
    held_out = rng.uniform(0, 6, (40, 2)), rng.integers(0, 2, 40)
    made = problem(validation=held_out)
    result = ExactTraining()(made, Budget(seconds=60))
    assert result.validation_accuracy == np.mean(result.network.predict(held_out[0]) == held_out[1])
    assert result.validation_accuracy >= max(entry.validation_accuracy or 0.0 for entry in result.history)
    assert result.bound <= Case(X=X, y=Y, hidden=(2,)).optimum() <= result.objective
    assert (result.status == "optimal") == (result.gap == 0)


def test_data_without_anything_to_decide() -> None:
    result = plain()(problem(X=np.zeros((10, 2))), Budget(seconds=60))
    assert (result.status, result.objective, result.nodes) == ("optimal", 5, 0)
    assert result.message == "nothing left to improve"
    result = plain()(problem(sample_weight=[1] + [0] * 8 + [1]), Budget(seconds=60))
    assert (result.status, result.objective) == ("optimal", 0)


@pytest.mark.parametrize("place", ["polish", "certificate"])
def test_an_interruption_after_the_proof_leaves_what_was_proven(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def interrupt(*given: object, **settings: object) -> None:
        raise KeyboardInterrupt

    expected = plain(certificate=True)(problem(()), Budget(seconds=60))
    if place == "polish":
        monkeypatch.setattr(exact_activation, "polish", interrupt)
    else:
        monkeypatch.setattr("bdnn.branch_and_cut.engine.Proof.certificate", interrupt)
    result = plain(certificate=True)(problem(()), Budget(seconds=60))
    assert expected.bound > expected.irreducible and not expected.interrupted
    # a bound on these networks is not one on every classifier
    assert (result.objective, result.bound, result.bound_of) == (expected.objective, expected.bound, expected.bound_of)
    assert result.interrupted and "every classifier" not in result.bound_of
    if place == "polish":
        assert verify_certificate(result.certificate, X, Y).optimal
