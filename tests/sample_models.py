"""Small models with every part that a model file can have."""

import numpy as np

from bdnn import Network, Result, Status
from bdnn.model_file import Model, TableInfo
from bdnn.network.grid import InputGrid
from bdnn.problem.audit import Audit
from bdnn.result import BoundStep, Incumbent


def network(**changes):
    values = {"layers": [([[1.0, -0.5]], [0.25])], "head": "threshold", "classes": ["no", "yes"]}
    return Network(**(values | changes))


def result(net, **changes):
    values = {
        "network": net,
        "status": Status.FEASIBLE,
        "objective": 0.1 + 0.2,
        "bound": 1 / 3 - 0.1,
        "bound_of": "networks with 2 hidden neurons, threshold head",
        "irreducible": 5e-324,
        "audit": Audit(0.1 + 0.2, 3, 2, 0.25, 1),
        "method": "exact",
        "solver": "highs",
        "message": "Zeit abgelaufen: ε ≥ 1e-9",
        "interrupted": True,
        "n_rows": 100,
        "n_distinct": 90,
        "nodes": 12345,
        "history": (Incumbent(0.5, 3.0, "constant"), Incumbent(1.5, 0.1 + 0.2, "solver")),
        "bounds": (BoundStep(0.01, 5e-324), BoundStep(2.5, 1 / 3 - 0.1)),
        "timings": {"presolve": 0.01, "total": 1e-3},
        "shortfalls": ("no bound was computed",),
    }
    return Result(**(values | changes))


OPTIONS = {"hidden_layer_sizes": [2], "weights": "integer", "margin": None, "random_state": 0, "warm_start": False}


def integer_model():
    grid = InputGrid(np.array([0.5, -1.0]), np.array([1.0, 0.25]), 8)
    layers = [(np.array([[1, -1], [0, 1]]), np.array([3, -300])), (np.array([[1, 1]]), np.array([-1]))]
    net = Network(layers, head="threshold", classes=[0, 1], grid=grid, feature_names=["a", "b"])
    return Model(net, OPTIONS, result(net), TableInfo("target", "median", (1.0, 2.0), ("id",), 0.25, 7))


def continuous_model():
    net = Network([([[1.0, 2.0], [0.5, 1.0], [0.0, -1.0]], [0.5, 0.0, 1.0])], head="argmax", classes=["x", "y", "z"])
    return Model(net)
