"""Results: status, gap, and their plain form."""

import dataclasses
import json
import math

import pytest

import sample_models
from bdnn import Result, Status
from bdnn.problem.audit import Audit
from bdnn.result import BoundStep, Incumbent
from bdnn.status import Progress, relative_gap


def result(**changes):
    values = {"objective": 4.0, "bound": 3.0, "audit": Audit(4.0, 4, 2, 3.5, 1), "timings": {"total": 2.0}}
    history = (Incumbent(0.5, 6.0, "constant"), Incumbent(1.5, 4.0, "solver"))
    bounds = (BoundStep(0.5, 0.0), BoundStep(1.0, 3.0))
    return sample_models.result(sample_models.network(), **(values | {"history": history, "bounds": bounds} | changes))


@pytest.mark.parametrize(
    ("objective", "bound", "gap"),
    [
        (4.0, 3.0, 0.25),
        (4.0, 0.0, 1.0),
        (4.0, -4.0, 2.0),
        (4.0, 4.0, 0.0),
        (4.0, 5.0, 0.0),
        (0.0, 0.0, 0.0),
        (0.0, -1.0, math.inf),
        (4.0, -math.inf, math.inf),
        (math.inf, 3.0, math.inf),
        (math.inf, math.inf, 0.0),
    ],
)
def test_gap(objective, bound, gap):
    assert relative_gap(objective, bound) == gap
    assert result(objective=objective, bound=bound).gap == gap
    assert Progress(1.0, objective, bound, 0, "solve").gap == gap


def test_status_is_its_text():
    assert [str(status) for status in Status] == ["optimal", "feasible", "infeasible", "no_solution", "failed"]
    assert Status("optimal") is Status.OPTIMAL
    assert Status.FEASIBLE == "feasible"


def test_plain_form_holds_everything_but_network_and_certificate():
    values = result().to_dict()
    assert set(values) == {f.name for f in dataclasses.fields(Result)} - {"network", "certificate"} | {"gap"}
    assert type(values["status"]) is str
    assert values["gap"] == 0.25
    assert values["history"][1] == {"seconds": 1.5, "objective": 4.0, "source": "solver"}
    assert values["bounds"] == [{"seconds": 0.5, "bound": 0.0}, {"seconds": 1.0, "bound": 3.0}]
    assert values["audit"] == {
        "loss": 4.0,
        "n_wrong": 4,
        "n_rational": 2,
        "solver_loss": 3.5,
        "n_mismatched": 1,
        "mismatch": True,
    }
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_plain_form_is_a_copy():
    original = result()
    values = original.to_dict()
    values["timings"]["total"] = 99.0
    values["history"].clear()
    assert original.timings == {"total": 2.0}
    assert len(original.history) == 2


def test_defaults_are_not_shared():
    one, two = (result(history=(), timings={}) for _ in range(2))
    assert one == two
    bare = {f.name: getattr(one, f.name) for f in dataclasses.fields(Result) if f.name not in ("history", "timings")}
    first, second = Result(**bare), Result(**bare)
    assert (first.history, first.timings) == ((), {})
    assert first.timings is not second.timings


@pytest.mark.parametrize("thing", [result(), Incumbent(0.0, 1.0, "start"), Progress(0.0, 1.0, 0.0, 0, "start")])
def test_immutable(thing):
    with pytest.raises(dataclasses.FrozenInstanceError):
        thing.objective = 0.0
