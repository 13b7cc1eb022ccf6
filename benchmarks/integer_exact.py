"""Exact training of integer weights: CP-SAT against the paper's model, and what each ingredient does for it.

    python benchmarks/integer_exact.py [--data DIR] [--seconds 60] [--seeds 3] [--only NAME]

The rival is the model of the paper without reductions, on the faster of HiGHS and SCIP, from the same start. One
thread everywhere. Counted are CPU seconds of building and solving; a run that is not optimal by the wall-clock limit
says how far it came. Ingredients are taken out of, or put into, the program that CP-SAT gets. Rewrites
benchmarks/results/integer_exact.json; with --only, the instances run replace their own rows and the others stay.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from statistics import median

import numpy as np
import scipy.sparse as sp
from common import RESULTS, add_data_option, drawn, load, write_results
from scipy.optimize import linprog

from bdnn import Budget, Problem, Status
from bdnn.backends import BACKENDS, available
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import Points
from bdnn.errors import MarginError
from bdnn.exact.separability import multipliers
from bdnn.formulations import training
from bdnn.methods.incumbents import submit_incumbents
from bdnn.methods.run import Run

RIVALS = ("highs", "scip")


def instances(folder):
    cancer = load(folder, "breast_cancer_wisconsin_bdnn.csv")
    credit = load(folder, "default_credit_card.csv.gz")
    heart = load(folder, "heart_cleveland.csv")
    pima = load(folder, "pima_diabetes.csv")
    yield "breast cancer, no hidden", cancer, dict(hidden_layer_sizes=())
    yield "heart m=100, no hidden", drawn(*heart, 100), dict(hidden_layer_sizes=())
    yield "credit card m=100, no hidden", drawn(*credit, 100), dict(hidden_layer_sizes=())
    yield "pima m=100, no hidden", drawn(*pima, 100), dict(hidden_layer_sizes=())
    yield "pima m=200, no hidden", drawn(*pima, 200), dict(hidden_layer_sizes=())
    yield "breast cancer m=300, 2 hidden", drawn(*cancer, 300), dict(hidden_layer_sizes=(2,))
    yield "heart m=50, 2 hidden", drawn(*heart, 50), dict(hidden_layer_sizes=(2,))
    yield "credit card m=60, 2 hidden", drawn(*credit, 60), dict(hidden_layer_sizes=(2,))


def one_sided(model):
    """Leave out the side of each output's row that the objective chooses by itself."""
    cond = model.milp.indicators
    cost = np.where(np.isin(np.arange(model.milp.n_columns), model.layout.fired[-1]), model.milp.cost, 0.0)
    lower = np.where(cost[cond.binary] > 0, -np.inf, cond.lower_on)
    upper = np.where(cost[cond.binary] < 0, np.inf, cond.upper_off)
    return replace(model.milp, indicators=replace(cond, lower_on=lower, upper_off=upper))


def with_clauses(model, rounds=20):
    """Add that no neuron has all points of an inseparable set on their sides, nor all on the opposite ones."""
    points = Points.of(model.presolved)
    cuts, given, sets = Cuts(points, np.random.default_rng(0)), np.zeros(len(points)), []
    for _ in range(rounds):
        numbers = [cuts.add(members) for members in cuts.separate(given, 16)]
        found = [cuts.sets[number] for number in numbers if number >= 0]
        # proven for the reduced points: those on a grid are no affine image of the raw ones
        new = [members for members in found if multipliers(points.rows[members])]
        if not new:
            break
        sets += new
        columns, ends = np.concatenate(sets), np.cumsum([0, *map(len, sets)])
        matrix = sp.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(sets), len(points)))
        given = linprog(points.weight, A_ub=-matrix, b_ub=-np.ones(len(sets)), bounds=(0, 1)).x
    rows, lower = [], []
    for neuron in model.layout.fired[0].T:
        for members in sets:
            columns, signs = neuron[points.point[members]], points.signs[members]
            for side in (1.0, -1.0):
                rows.append((columns, -side * signs))
                lower.append(1.0 - np.count_nonzero(side * signs > 0))
    if not rows:
        return model.milp
    columns, ends = np.concatenate([row[0] for row in rows]), np.cumsum([0, *(len(row[0]) for row in rows)])
    matrix = sp.csr_matrix(
        (np.concatenate([row[1] for row in rows]), columns, ends), shape=(len(rows), model.milp.n_columns)
    )
    return model.milp.with_rows(matrix, np.array(lower))


def solved(run, solver, seconds, seed, reductions=training.REDUCTIONS, change=None, hint=True):
    """Build and solve once."""
    backend = BACKENDS[solver]()
    began = time.process_time()
    model = training.build(run.reduced, backend.capabilities.tolerances, reductions)
    milp = model.milp if change is None else change(model)
    start = model.encode(run.best.network) if hint else None
    solution = backend.solve(milp, Budget(seconds=seconds, seed=seed), start)
    unit = run.reduced.loss_unit
    bound = solution.bound * unit if np.isfinite(solution.bound) else None
    return {
        "cpu_seconds": round(time.process_time() - began, 3),
        "optimal": solution.status == Status.OPTIMAL,
        "loss": round(solution.objective * unit, 6) if solution.x is not None else None,
        "bound": None if bound is None else round(max(bound, run.reduced.irreducible), 6),
    }


def variants():
    """Return the ingredients, each as settings of `solved`."""
    order = tuple(name for name in training.REDUCTIONS if name != "neuron_order")
    sign = tuple(name for name in training.REDUCTIONS if name != "output_sign")
    return {
        "as used": {},
        "one side of each output": {"change": one_sided},
        "with clauses of inseparable sets": {"change": with_clauses},
        "without the order of neurons": {"reductions": order},
        "without signs of output weights": {"reductions": sign},
        "without a hint": {"hint": False},
    }


def summary(runs):
    """Return medians of some runs of one kind."""
    middle = sorted(runs, key=lambda run: (not run["optimal"], run["cpu_seconds"]))[len(runs) // 2]
    return {**middle, "solved": f"{sum(run['optimal'] for run in runs)}/{len(runs)}"} | {
        "cpu_seconds": median(run["cpu_seconds"] for run in runs)
    }


def shown(run):
    if run["optimal"]:
        return f"{run['cpu_seconds']:.2f} s"
    return f"{run['bound']}..{run['loss']} after {run['cpu_seconds']:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each run, by the wall clock")
    parser.add_argument("--seeds", type=int, default=3, help="runs of CP-SAT; the rivals run once")
    parser.add_argument("--only", default="", help="part of the names of the instances to run")
    options = parser.parse_args()
    path = RESULTS / "integer_exact.json"
    rows = json.loads(path.read_text())["results"]["rows"] if options.only and path.exists() else []
    for name, (X, y), settings in instances(options.data):
        if options.only not in name:
            continue
        problem = Problem(X=X, y=y, weights="integer", **settings)
        run = Run(problem, Budget(seed=0).start(), None)
        submit_incumbents(run, None)
        limits = {"time_limit": options.seconds, "seeds": options.seeds}
        row = {"instance": name, **limits, "start": run.best.objective, "cpsat": {}, "rivals": {}}
        for variant, how in variants().items():
            if not settings["hidden_layer_sizes"] and how.get("reductions"):
                continue  # nothing to order
            runs = [solved(run, "cpsat", options.seconds, seed, **how) for seed in range(options.seeds)]
            row["cpsat"][variant] = summary(runs)
            print(f"{name:30} {variant:34} {shown(row['cpsat'][variant])}", flush=True)
        for solver in RIVALS:
            if solver in available():
                try:
                    row["rivals"][solver] = solved(run, solver, options.seconds, 0, reductions=())
                except MarginError as error:
                    row["rivals"][solver] = {"refused": str(error)}
                    continue
                print(f"{name:30} {'paper, ' + solver:34} {shown(row['rivals'][solver])}", flush=True)
        rows = [old for old in rows if old["instance"] != name] + [row]
        write_results("integer_exact", {"rows": rows})


if __name__ == "__main__":
    main()
