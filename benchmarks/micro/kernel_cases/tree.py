"""Timed cases of branch and cut: re-solves recorded from a tree, exact bounds, alternatives, lifting, walks."""

from pathlib import Path

import numpy as np

from bdnn.branch_and_cut import alternative
from bdnn.branch_and_cut import linear_program as covering
from bdnn.branch_and_cut.cut_pool import Rows
from bdnn.budget import Budget
from bdnn.exact import separability as exact
from bdnn.search.halfspace import separators

ENTER, DROP, SOLVE, TRY = range(4)  # as in ../record_tree.py
TRIAL_PIVOTS = 60
RECORDED = Path(__file__).with_name("recorded_tree.npz")


class Replay:
    """A recording, to be asked of a program made anew."""

    def __init__(self):
        stored = dict(np.load(RECORDED))
        self.cost = stored["cost"]
        self.v = len(self.cost)
        ends = np.cumsum(stored["sizes"])
        columns = np.split(stored["columns"].astype(np.int64), ends[:-1])
        values = np.split(stored["values"].astype(np.int64), ends[:-1])
        self.rows = list(zip(columns, values, stored["rhs"].tolist(), strict=True))
        self.boxes = np.unpackbits(stored["boxes"], axis=-1, count=self.v).astype(np.float64)
        numbers = stored["numbers"]
        self.events = [(kind, numbers[begin:end]) for kind, begin, end in stored["kinds"].tolist()]
        self.made, self.objectives = None, []

    def __call__(self, most=None):
        """Solve all that was recorded, or so many programs; return the sum of their objectives."""
        rows = Rows(self.cost, min(4000, 6 * self.v + 500))
        for row in self.rows:
            assert rows.add(*row) >= 0
        trial = covering.dictionary(rows.scaled_cost, rows.room, rows.room)
        self.made, self.objectives = rows, []
        for kind, numbers in self.events:
            if kind == ENTER:
                labels = numbers.astype(np.int64)
                # at another of several optima other rows were dropped
                rows.enter(labels[rows.slot[labels] < 0])
            elif kind == DROP:
                rows.drop()
            elif kind == SOLVE:
                lower, upper = self.boxes[int(numbers[0])]
                rows.solve(lower, upper, float(numbers[1]))
                self.objectives.append(rows.objective(rows.D))
            else:
                for side in (0, 1):
                    covering.copy_into(trial, rows.D)
                    (trial.lower if side else trial.upper)[int(numbers[0])] = float(side)
                    rows.resolve(trial, float(numbers[1]), TRIAL_PIVOTS)
            if most is not None and len(self.objectives) >= most:
                break
        return float(np.sum(self.objectives))


def signed_rows(m, n, seed=0):
    """Signed rows of m points with n features, no hyperplane near to separating them."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], m)[:, None] * np.column_stack([rng.normal(size=(m, n)), np.ones(m)])


def alternatives(m, n, programs):
    """Solve programs with changing costs, each from the basis of the one before."""

    def set_up():
        rows, rng = signed_rows(m, n), np.random.default_rng(1)
        given = rng.choice([0.0, 0.1, 0.3], m)
        costs = [given * np.exp(0.8 * rng.normal(size=m)) + 1e-5 * rng.random(m) for _ in range(programs)]
        sets, sizes = np.zeros((64, n + 2), dtype=np.int64), np.zeros(64, dtype=np.int64)
        # before the kernels were C++ there was one more argument
        flag = (False,) if hasattr(alternative.separate, "py_func") else ()

        def run():
            A, total = alternative.alternative(rows), 0.0
            for cost in costs:
                value, _ = alternative.separate(A, cost, 100.0, given, 0.999, *flag, 5000, sets, sizes, 0)
                total += value
            return total

        return run

    return set_up


def bounds():
    """Exact bounds from the multipliers of a program that was re-solved now and then."""
    replay = Replay()
    replay(60)
    rows, (lower, upper) = replay.made, replay.boxes[0]

    def run():
        total = 0
        for _ in range(8000):
            total += rows.prove(lower, upper)[0]
        return total

    return run


def lifting(n, count):
    """Multipliers of supports of n + 2 points."""

    def set_up():
        rng = np.random.default_rng(0)
        supports = []
        for _ in range(count):
            rows = np.column_stack([rng.normal(size=(n + 2, n)), np.ones(n + 2)])
            # the only combination that vanishes becomes a positive one
            supports.append(rows * np.sign(np.linalg.svd(rows.T)[2][-1])[:, None])

        def run():
            found = sum(exact.multipliers(rows) is not None for rows in supports)
            assert found == count
            return found

        return run

    return set_up


def walk(n, p, rounds):
    """Separators of points without pattern, by hinge programs and walks."""

    def set_up():
        rng = np.random.default_rng(2)
        X, g = rng.normal(size=(n, p)), rng.choice([-1.0, 1.0], p)

        def run():
            found = list(separators(X, g, Budget(), np.random.default_rng(0), rounds=rounds))
            return min(float(np.abs(g[(w @ X + b >= 0) != (g < 0)]).sum()) for w, b in found)

        return run

    return set_up


CASES = {
    "dual simplex re-solves, heart": Replay,
    "exact bounds, heart": bounds,
    "alternatives, 300 points, 13 features": alternatives(300, 13, 2500),
    "alternatives, 2000 points, 40 features": alternatives(2000, 40, 60),
    "Dixon lifting, 13 features": lifting(13, 500),
    "Dixon lifting, 60 features": lifting(60, 25),
    "vertex walk, 200 points, 10 features": walk(10, 200, 5),
    "vertex walk, 1500 points, 20 features": walk(20, 1500, 1),
}
