"""All back-ends on a common table of cases, and what is asked of them."""

import os
import signal

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bdnn import Budget, Problem, Status
from bdnn.backends import AUTO_CONTINUOUS, AUTO_INTEGER, BACKENDS, available, backend
from bdnn.errors import InputError, MissingDependencyError
from bdnn.formulations import training
from bdnn.methods import METHODS
from bdnn.methods.starts import constant
from bdnn.milp.program import MilpBuilder
from bdnn.milp.tolerances import Tolerances
from bdnn.problem.presolve import presolve

SOLVERS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in available(), reason=f"solver {name} is not installed"))
    for name in BACKENDS
]


def random_problem(seed, classes, points=6, **settings):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(-1, 3, size=(points, 2)).astype(float), rng.integers(0, classes, size=points)
    y[:classes] = range(classes)
    return Problem(X=X, y=y, **settings)


CASES = {
    "one neuron": dict(seed=1, classes=2, points=9, hidden_layer_sizes=()),
    "one neuron, ternary": dict(seed=1, classes=2, points=9, hidden_layer_sizes=(), weights="integer"),
    "no biases": dict(seed=2, classes=2, points=8, hidden_layer_sizes=(), fit_intercept=False),
    "no biases, hidden": dict(seed=3, classes=2, hidden_layer_sizes=(2,), fit_intercept=False),
    "hidden": dict(seed=4, classes=2, points=8, hidden_layer_sizes=(2,)),
    "hidden, P = 2": dict(seed=4, classes=2, points=8, hidden_layer_sizes=(2,), weights="integer", weight_bound=2),
    "two hidden": dict(seed=5, classes=2, hidden_layer_sizes=(2, 2)),
    "one-hot": dict(seed=6, classes=3, hidden_layer_sizes=(2,), head="threshold"),
    "one-hot, ternary": dict(seed=6, classes=3, hidden_layer_sizes=(2,), head="threshold", weights="integer"),
    "argmax": dict(seed=7, classes=3, hidden_layer_sizes=(), head="argmax"),
    "argmax, ternary": dict(seed=7, classes=3, hidden_layer_sizes=(2,), head="argmax", weights="integer"),
    "argmax, two classes": dict(seed=8, classes=2, hidden_layer_sizes=(1,), head="argmax"),
    "l1": dict(seed=9, classes=2, hidden_layer_sizes=(2,), regularizer="l1", regularization=0.3),
    "l0": dict(seed=9, classes=2, hidden_layer_sizes=(2,), regularizer="l0", regularization=0.3),
    "l0, ternary": dict(
        seed=9, classes=2, hidden_layer_sizes=(2,), weights="integer", regularizer="l0", regularization=0.3
    ),
    "l2": dict(seed=9, classes=2, hidden_layer_sizes=(), regularizer="l2", regularization=0.3),
    "l2, ternary": dict(
        seed=9, classes=2, hidden_layer_sizes=(2,), weights="integer", regularizer="l2", regularization=0.3
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_solvers_agree(case):
    problem = random_problem(**CASES[case])
    found = {}
    for name in available():
        try:
            backend(name, problem)
        except InputError:
            continue
        found[name] = METHODS["exact"](incumbents="none", solver=name)(problem, Budget(seconds=60))
    # which solvers take which weights and regularizers is said here once more; others take all
    able = {
        "highs": problem.regularizer != "l2", "scip": True, "cpsat": problem.weights == "integer", "gurobi": True
    }  # fmt: skip
    assert set(found) == {name for name in available() if able.get(name, True)} and len(found) >= min(
        2, len(available())
    )
    for name, result in found.items():
        assert result.status == Status.OPTIMAL, (name, result.message)
        assert result.audit.n_mismatched == 0, name
        assert result.bound == result.objective
    # continuous ℓ1 and ℓ2 have real optima; all other objectives are decided exactly
    rough = problem.regularizer in ("l1", "l2") and problem.weights == "continuous"
    objectives = [result.objective for result in found.values()]
    np.testing.assert_allclose(objectives, objectives[0], rtol=1e-5 if rough else 1e-12)


def small_program():
    """Maximize 3 x + 2 y + z over a knapsack with an indicator row; the optimum is 4 at (1, 0, 1)."""
    builder = MilpBuilder()
    x = builder.variables((3,), 0, 1, cost=[-3, -2, -1], integer=True)
    builder.rows(x[None, :], [[2, 2, 1]], -np.inf, 3)
    # if y then z >= 1
    block = (np.array([0, 1]), np.array([1.0]), x[2:3])
    builder.indicators(block, x[1:2], 1, np.inf, 1)
    builder.offset = 10
    return builder.build()


@pytest.mark.parametrize("solver", SOLVERS)
def test_solution_of_a_small_program(solver):
    milp, told = small_program(), []
    solution = BACKENDS[solver]().solve(milp, Budget(), np.zeros(3), lambda event: told.append(event) or False)
    assert solution.status == Status.OPTIMAL
    np.testing.assert_allclose(solution.x, [1, 0, 1], atol=1e-9)
    assert solution.objective == pytest.approx(6) and solution.bound == pytest.approx(6)
    assert solution.nodes >= 0 and solution.seconds > 0 and not solution.interrupted
    incumbents = [event.objective for event in told if event.x is not None]
    assert incumbents and incumbents == sorted(incumbents, reverse=True)


@pytest.mark.parametrize("solver", SOLVERS)
def test_infeasible_program(solver):
    builder = MilpBuilder()
    x = builder.variables((2,), 0, 1, cost=1, integer=True)
    builder.rows(x[None, :], 2, 1, 1)  # 2 x + 2 y = 1
    solution = BACKENDS[solver]().solve(builder.build(), Budget())
    assert solution.status == Status.INFEASIBLE and solution.x is None


def hard_problem(weights):
    rng = np.random.default_rng(0)
    return Problem(X=rng.integers(0, 9, size=(60, 6)), y=rng.integers(0, 2, size=60), weights=weights)


@pytest.mark.parametrize("solver", SOLVERS)
def test_limits_and_stop_keep_the_incumbent(solver):
    problem = hard_problem("integer" if solver == "cpsat" else "continuous")
    model = training.build(presolve(problem), BACKENDS[solver].capabilities.tolerances)
    start = model.encode(METHODS["exact"](incumbents="none", solver=solver)(problem, Budget(seconds=0.3)).network)
    value = model.milp.objective(start)
    limited = BACKENDS[solver]().solve(model.milp, Budget(seconds=0.4), start)
    assert limited.status == Status.FEASIBLE and "time limit" in limited.message
    assert limited.objective <= value + 1e-9 and limited.bound <= limited.objective
    assert model.milp.violation(limited.x) < 1e-5
    limited = BACKENDS[solver]().solve(model.milp, Budget(seconds=60, nodes=1), start)
    assert limited.status == Status.FEASIBLE and "node limit" in limited.message
    stopped = BACKENDS[solver]().solve(model.milp, Budget(seconds=60), start, lambda event: True)
    assert stopped.status == Status.FEASIBLE and "time limit" not in stopped.message


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("solver", SOLVERS)
def test_ctrl_c_keeps_the_incumbent(solver):
    problem = hard_problem("integer" if solver == "cpsat" else "continuous")
    model = training.build(presolve(problem), BACKENDS[solver].capabilities.tolerances)
    start = model.encode(METHODS["exact"](incumbents="none", solver=solver)(problem, Budget(seconds=0.3)).network)
    sent = []

    def listener(event):
        if not sent:
            sent.append(event)
            os.kill(os.getpid(), signal.SIGINT)
        return False

    solution = BACKENDS[solver]().solve(model.milp, Budget(seconds=60), start, listener)
    assert solution.interrupted and solution.status == Status.FEASIBLE and "Ctrl-C" in solution.message
    assert solution.objective <= model.milp.objective(start) + 1e-9


@pytest.mark.parametrize("solver", SOLVERS)
def test_same_seed_same_network(solver):
    problem = random_problem(11, 2, points=10, weights="integer", hidden_layer_sizes=(2,))
    runs = [METHODS["exact"](incumbents="none", solver=solver)(problem, Budget(seconds=60, seed=5)) for _ in range(2)]
    assert runs[0].status == Status.OPTIMAL
    assert runs[0].network == runs[1].network


@pytest.mark.parametrize("solver", SOLVERS)
def test_errors_of_a_listener_are_raised(solver):
    def listener(event):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        BACKENDS[solver]().solve(small_program(), Budget(), np.zeros(3), listener)


def test_auto_takes_what_can_do_it(monkeypatch):
    continuous, integer = random_problem(0, 2), random_problem(0, 2, weights="integer")
    squared = random_problem(0, 2, regularizer="l2", regularization=1)
    for name, solver in BACKENDS.items():
        monkeypatch.setattr(solver, "is_available", classmethod(lambda cls: True))
        assert backend(name, integer if name == "cpsat" else continuous).name == name or name == "highs"
    assert backend("auto", continuous).name == AUTO_CONTINUOUS[0]
    assert backend("auto", integer).name == AUTO_INTEGER[0]
    assert backend("auto", squared).name == "scip"
    for name in ("scip", "cpsat", "gurobi"):
        monkeypatch.setattr(BACKENDS[name], "is_available", classmethod(lambda cls: False))
    assert backend("auto", continuous).name == backend("auto", integer).name == "highs"
    with pytest.raises(MissingDependencyError, match="pip install 'bdnn\\[scip\\]'"):
        backend("auto", squared)
    with pytest.raises(MissingDependencyError, match="pip install 'bdnn\\[cpsat\\]'"):
        backend("cpsat", integer)


def test_impossible_wishes_are_clear_errors():
    with pytest.raises(InputError, match=r"'cpsat' cannot train continuous weights.*highs, scip, gurobi"):
        backend("cpsat", random_problem(0, 2))
    with pytest.raises(InputError, match=r"'highs' cannot minimize the quadratic.*scip"):
        backend("highs", random_problem(0, 2, regularizer="l2", regularization=1))
    with pytest.raises(InputError, match=r"solver must be one of.*'cplex'"):
        backend("cplex", random_problem(0, 2))


@pytest.mark.skipif("gurobi" not in available(), reason="solver gurobi is not installed")
def test_size_limit_of_the_license_is_said_first():
    rng = np.random.default_rng(0)
    problem = Problem(X=rng.normal(size=(900, 3)), y=rng.integers(0, 2, size=900), hidden_layer_sizes=(3,))
    model = training.build(presolve(problem), Tolerances(1e-7, 1e-7))
    if license_is_limited():
        expected = f"the program has {model.milp.n_columns} variables and .* limited to 2000 of each"
        with pytest.raises(InputError, match=expected):
            BACKENDS["gurobi"]().solve(model.milp, Budget(seconds=1))
    else:
        start = model.encode(constant(presolve(problem)))
        assert BACKENDS["gurobi"]().solve(model.milp, Budget(seconds=10), start).x is not None


def license_is_limited():
    """Whether this license of Gurobi refuses 2001 variables."""
    import gurobipy

    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.Model(env=env) as model:
        model.addVars(2001)
        try:
            model.optimize()
        except gurobipy.GurobiError:
            return True
    return False


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("solver", SOLVERS)
def test_bounds_hold_whenever_the_solve_is_cut_off(solver, start):
    """A network with few errors is known, so a bound above its loss would be false."""
    X, y = load_digits(return_X_y=True)
    weights = "integer" if solver == "cpsat" else "continuous"
    problem = Problem(X=X[:60], y=y[:60], hidden_layer_sizes=(), weights=weights, weight_bound=15)
    reduced = presolve(problem)
    model = training.build(reduced, BACKENDS[solver].capabilities.tolerances)
    best = METHODS["exact"](incumbents="none", solver=solver)(problem, Budget(seconds=10))
    assert best.objective <= 3
    x = model.encode(constant(reduced)) if start else None
    for seconds in (0.001, 0.02, 0.1, 0.3, 0.6, 1.0):
        told: list[float] = []

        def note(event, told=told):
            told.append(event.bound)
            return False

        try:
            solution = BACKENDS[solver]().solve(model.milp, Budget(seconds=seconds), x, note)
        except InputError:
            pytest.skip("the license of this solver does not hold the program")
        assert max([solution.bound, *told]) * reduced.loss_unit <= best.objective + 1e-6
        if solution.status == Status.OPTIMAL:
            assert solution.objective * reduced.loss_unit == pytest.approx(best.objective)
